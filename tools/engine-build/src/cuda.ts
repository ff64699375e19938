import { hasNvidiaDevice } from '@longtail/engine/native';
import { run } from './child.js';

/** NVIDIA's floor for CUDA 12 on Linux ("minor version compatibility", CUDA release notes, table 2). */
const MIN_DRIVER_MAJOR = 525;
/** Pascal: the oldest cards that TensorFlow's wheels hold code for. */
const MIN_COMPUTE_CAPABILITY = 6.0;

export interface CudaCard {
  readonly name: string;
  readonly driver: string;
  readonly computeCapability: number;
  readonly memoryMiB: number;
}

export type CudaFinding =
  | { readonly status: 'usable'; readonly cards: readonly CudaCard[] }
  | { readonly status: 'absent' }
  /** There is a card, but not for this TensorFlow: why, and what to do. */
  | { readonly status: 'unusable'; readonly message: string; readonly fix: string };

const QUERY = ['--query-gpu=name,driver_version,compute_cap,memory.total', '--format=csv,noheader,nounits'];

/** Asks `nvidia-smi` for the cards. */
export async function findCuda(signal?: AbortSignal): Promise<CudaFinding> {
  const { code, stdout, stderr } = await run('nvidia-smi', QUERY, { signal });
  if (code === 0) return judgeCards(parseCards(stdout));
  if (code === 127 && !hasNvidiaDevice()) return { status: 'absent' };
  return {
    status: 'unusable',
    message: `An NVIDIA card is there, but nvidia-smi does not answer: ${(stdout + stderr).trim().split('\n')[0]}`,
    fix: 'Install the NVIDIA driver with its tools (525 or newer) and restart the machine.',
  };
}

/** Lines such as `NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564`; lines that are not of this form are left out. */
export function parseCards(csv: string): CudaCard[] {
  return csv
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter((fields) => fields.length === 4)
    .map(([name, driver, capability, memory]) => ({
      name: name!,
      driver: driver!,
      computeCapability: Number(capability),
      memoryMiB: Number(memory),
    }));
}

/** Whether this TensorFlow runs on at least one of the cards. */
export function judgeCards(cards: readonly CudaCard[]): CudaFinding {
  const [first] = cards;
  if (first === undefined) return { status: 'absent' };
  if (!(Number.parseInt(first.driver, 10) >= MIN_DRIVER_MAJOR)) {
    return {
      status: 'unusable',
      message: `The NVIDIA driver ${first.driver} is too old for CUDA 12.`,
      fix: `Update the NVIDIA driver to ${MIN_DRIVER_MAJOR} or newer.`,
    };
  }
  const usable = cards.filter((card) => card.computeCapability >= MIN_COMPUTE_CAPABILITY);
  if (usable.length > 0) return { status: 'usable', cards: usable };
  return {
    status: 'unusable',
    message: `${first.name} has compute capability ${first.computeCapability}; TensorFlow needs ${MIN_COMPUTE_CAPABILITY}.0 or newer.`,
    fix: 'Use the webgpu engine on this card: `--engine webgpu`.',
  };
}
