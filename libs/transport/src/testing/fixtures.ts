import { LongtailError, type OutgoingTensor } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type ServerMessage } from '@longtail/protocol';
import type { ControlService } from '../control-methods.js';
import type { TensorMemory } from '../tensor-memory.js';

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** CRC-32C, a byte at a time. */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (let index = 0; index < bytes.length; index++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[index]!) & 255]!;
  return ~crc >>> 0;
}

export function someHello(name: string, changes: Partial<Hello> = {}): Hello {
  return {
    protocol: PROTOCOL_VERSION,
    name,
    incarnation: `${name}-${process.pid}-${Math.random()}`,
    device: { engine: 'cpu', description: 'a test', memoryBytes: 1, gflops: 1, throttle: 1 },
    allowCode: false,
    peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: '', paused: '',
    ...changes,
  };
}

export function welcomeMessage(node: string): ServerMessage {
  return { message: 'welcome', welcome: { node, heartbeatMs: 1_000, protocol: PROTOCOL_VERSION, tensorPort: 0, tensorKey: '', tensorCurveKey: '', epoch: 1, incarnation: '' } };
}

/** A control service without jobs. */
export function idleControl(changes: Partial<ControlService> = {}): ControlService {
  const nothing = (): Promise<never> => Promise.reject(new LongtailError('there is no such run', { code: 'usage', hint: 'longtail jobs lists them' }));
  return {
    launch: nothing,
    cancel: nothing,
    resume: nothing,
    fork: nothing,
    watch: async function* () {
      throw await nothing();
    },
    listJobs: () => Promise.resolve({ jobs: [] }),
    listRuns: () => Promise.resolve({ runs: [] }),
    listNodes: () => Promise.resolve({ nodes: [], peers: [], gone: [] }),
    orderNode: nothing,
    getServer: () => Promise.resolve({ protocol: PROTOCOL_VERSION, version: '0', startedAtMs: 1, nodes: 0, runningJobs: 0, epoch: 1, standbyAddress: '', standbyState: '' }),
    takeOver: nothing,
    ...changes,
  };
}

/** Bytes that look like nothing, the same for the same seed (xorshift32, Marsaglia 2003). */
export function noise(bytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = seed | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

/** The same bytes where peers on this host can read them. */
export function inMemory(bytes: Uint8Array, memory: TensorMemory | undefined): Uint8Array {
  if (memory === undefined) return bytes;
  const shared = memory.allocate(bytes.length);
  shared.set(bytes);
  return shared;
}

/** A tensor of one-byte values in chunks of 1 MiB. */
export function tensorOfBytes(bytes: Uint8Array, task = 1): OutgoingTensor {
  return {
    header: { run: 'run-1', kind: 'gradient', stage: 0, fragment: 0, task, round: 1, baseVersion: 0, samples: 1, codec: 0, name: '', start: 0 },
    length: bytes.length,
    chunkLength: 1024 * 1024,
    chunk: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
