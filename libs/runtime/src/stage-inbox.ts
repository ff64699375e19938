import { elementCount, LongtailError, type Codec, type HostTensor, type TensorChunk, type TensorHeader, type TensorKind } from '@longtail/core';

/** Tensors of one inner step that may wait here: twice the microbatches of the largest one anybody should give. */
const MAX_WAITING = 8192;
/** Inner steps whose tensors may come before them: the next one, and the next task's while the last one is being called off. */
const MAX_STEPS = 4;
/** More than any task has. */
const STEPS_A_TASK = 2 ** 20;
/** 4 GiB of float32. */
const MAX_VALUES = 2 ** 30;

export type StageTensorKind = 'activation' | 'activation-gradient' | 'peer';

/** Travels between the workers of a group. */
export function isStageTensor(kind: TensorKind): kind is StageTensorKind {
  return kind === 'activation' || kind === 'activation-gradient' || kind === 'peer';
}

/** An inner step of a task; a gradient or an evaluation is one step, 0. */
export interface StepOfTask {
  readonly task: number;
  readonly step: number;
}

/** Tensors for a worker of a pipeline, put together and kept until it takes them. Each counts once; what belongs to a step that is over is dropped. */
export class StageInbox {
  /** By the step's number, counted over all tasks. */
  private readonly steps = new Map<number, Map<string, Incoming>>();
  private over: number;

  /** Tasks up to `afterTask` are over. */
  constructor(
    private readonly codecs: readonly Codec[],
    afterTask: number,
  ) {
    this.over = numberOf({ task: afterTask, step: STEPS_A_TASK - 1 });
  }

  /** Puts a chunk where it belongs. Throws LongtailError `protocol` for one that fits nowhere. */
  put({ header, payload }: TensorChunk): void {
    const number = numberOf({ task: header.task, step: header.step ?? 0 });
    if (number <= this.over) return;
    const codec = this.codecs.find(({ id }) => id === header.codec);
    if (codec === undefined) throw misfit(header, `comes in codec ${header.codec}, which this worker does not know`);
    this.incoming(number, keyOf(header.kind, header.stage, header.fragment)).put(header, payload, codec);
  }

  /**
   * The tensor once it is whole; rejects with the signal's reason. A tensor can be taken once. `stage` and `fragment` are
   * those of its header.
   */
  async take(of: StepOfTask, kind: StageTensorKind, stage: number, fragment: number, signal: AbortSignal): Promise<HostTensor> {
    signal.throwIfAborted();
    return this.incoming(numberOf(of), keyOf(kind, stage, fragment)).take(signal);
  }

  /** The step is over, and what came before it. */
  closeStep(of: StepOfTask): void {
    this.over = Math.max(this.over, numberOf(of));
    for (const number of [...this.steps.keys()]) if (number <= this.over) this.steps.delete(number);
  }

  /** The task is over, and those before it. */
  close(task: number): void {
    this.closeStep({ task, step: STEPS_A_TASK - 1 });
  }

  private incoming(number: number, key: string): Incoming {
    let tensors = this.steps.get(number);
    if (tensors === undefined) {
      if (this.steps.size >= MAX_STEPS) throw new LongtailError(`tensors of more than ${MAX_STEPS} steps wait`, { code: 'protocol' });
      this.steps.set(number, (tensors = new Map<string, Incoming>()));
    }
    let tensor = tensors.get(key);
    if (tensor === undefined) {
      if (tensors.size >= MAX_WAITING) throw new LongtailError(`more than ${MAX_WAITING} tensors of one step`, { code: 'protocol' });
      tensors.set(key, (tensor = new Incoming()));
    }
    return tensor;
  }
}

function numberOf({ task, step }: StepOfTask): number {
  return task * STEPS_A_TASK + step;
}

/** One tensor, from its first chunk until it was taken. */
class Incoming {
  private shape: readonly number[] = [];
  private values: Float32Array | undefined;
  private readonly seen = new Set<number>();
  private missing = Infinity;
  private wake: (() => void) | undefined;
  private taken = false;

  put(header: TensorHeader, payload: Uint8Array, codec: Codec): void {
    const at = header.start + header.offset;
    if (this.taken || this.seen.has(at)) return; // came twice
    if (this.values === undefined) this.begin(header);
    if (at + header.length > this.values!.length) throw misfit(header, `is longer than its shape ${header.name}`);
    codec.decode(payload, this.values!.subarray(at, at + header.length), this.shape.at(-1));
    this.seen.add(at);
    this.missing -= header.length;
    if (this.missing === 0) this.wake?.();
  }

  async take(signal: AbortSignal): Promise<HostTensor> {
    if (this.missing > 0) await this.whole(signal);
    const tensor = { dtype: 'float32', shape: this.shape, data: this.values! } as const;
    this.taken = true;
    this.values = undefined;
    return tensor;
  }

  private whole(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = () => reject(signal.reason as Error);
      signal.addEventListener('abort', aborted, { once: true });
      this.wake = () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
    });
  }

  private begin(header: TensorHeader): void {
    this.shape = header.name.split('x').map(Number);
    const count = elementCount(this.shape);
    const valid = this.shape.every((size) => Number.isSafeInteger(size) && size > 0) && count <= MAX_VALUES;
    if (!valid) throw misfit(header, `has the shape ${header.name}`);
    this.values = new Float32Array(count);
    this.missing = count;
  }
}

function keyOf(kind: string, stage: number, fragment: number): string {
  return `${kind}/${stage}/${fragment}`;
}

function misfit({ kind, fragment }: TensorHeader, problem: string): LongtailError {
  return new LongtailError(`the ${kind} ${fragment} ${problem}`, { code: 'protocol' });
}
