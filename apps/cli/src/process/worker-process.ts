import type { DeviceInfo, DeviceSpeed } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import type { OwnerLimits } from '@longtail/spec';
import type { AllowedCode, EngineChoice, WorkerMessage } from '@longtail/worker';
import type { LinkRates } from '@longtail/spec/links';
import { Child } from './children.js';

export interface WorkerProcessOptions {
  readonly server: string;
  /** File of its identity there; undefined: everybody may. */
  readonly identity?: string;
  readonly name: string;
  readonly engine: EngineChoice;
  readonly pace: number;
  /** A device to emulate; undefined: it is what it is. */
  readonly emulated?: DeviceSpeed | undefined;
  /** Threads of native code; undefined: as many as the machine has cores. */
  readonly threads: number | undefined;
  readonly memoryBytes: number | undefined;
  /** Address of this machine where other workers reach it; undefined: workers of this machine only. */
  readonly listen: string | undefined;
  /** Bit/s of all tensors that it sends; undefined: as fast as the link is. */
  readonly maxUpload: number | undefined;
  /** Hours, idleness, temperature and power, by its owner's will. @default none */
  readonly limits?: OwnerLimits;
  /** To emulate, and how many bytes one of a tensor takes of it (1 by default); undefined: the machine's own. */
  readonly link: (LinkRates & { readonly standsFor?: number | undefined }) | undefined;
  /** Values that a chunk has, as the server has it; undefined: as many as anywhere. */
  readonly chunkLength?: number | undefined;
  /** Jobs' own modules; undefined: none. */
  readonly allowCode: AllowedCode | undefined;
  /** Keep trying when no server is there yet. */
  readonly wait: boolean;
  /** Where the node's id is kept; undefined: it gets a new one. */
  readonly stateFolder?: string;
  /** Milliseconds; undefined: as long as it takes. */
  readonly lookFor?: number | undefined;
  onMessage(message: WorkerMessage): void;
  onLine?(line: string): void;
}

/** Starts a worker in a process of its own: the C library reads its settings once, at its start. */
export function startWorkerProcess(options: WorkerProcessOptions): Child {
  const { server, identity, name, engine, pace, emulated, threads, memoryBytes, listen, maxUpload, limits, link, chunkLength, allowCode, wait, stateFolder, lookFor } = options;
  const args = ['--server', server, '--name', name, '--engine', engine, '--pace', String(pace)];
  if (emulated !== undefined) args.push('--emulate', `${emulated.samplesPerSecond},${emulated.overheadMs},${emulated.jitter}`);
  if (identity !== undefined) args.push('--identity', identity);
  if (threads !== undefined) args.push('--threads', String(threads));
  if (memoryBytes !== undefined) args.push('--memory', String(memoryBytes));
  if (listen !== undefined) args.push('--listen', listen);
  if (maxUpload !== undefined) args.push('--max-upload', String(maxUpload));
  if (limits !== undefined) args.push('--limits', JSON.stringify(limits));
  if (link !== undefined) args.push('--link', `${link.up},${link.down},${link.rtt},${link.standsFor ?? 1}`);
  if (chunkLength !== undefined) args.push('--chunk-length', String(chunkLength));
  if (allowCode !== undefined) args.push('--allow-code', allowCode);
  if (wait) args.push('--wait');
  if (stateFolder !== undefined) args.push('--state', stateFolder);
  if (lookFor !== undefined) args.push('--look-for', String(lookFor));
  return Child.start({
    name: `worker ${name}`,
    module: import.meta.resolve('@longtail/worker/main'),
    args,
    env: nativeEnvironment(),
    onMessage: (message) => options.onMessage(message as WorkerMessage),
    onLine: options.onLine,
  });
}

/** `tensorflow at pace 0.4: TensorFlow 2.21.0, …`. */
export function describeDevice(device: DeviceInfo): string {
  const pace = device.throttle < 1 ? ` at pace ${device.throttle}` : '';
  const speed = device.gflops > 0 ? `, ${device.gflops.toFixed(device.gflops < 10 ? 1 : 0)} GFLOP/s` : '';
  return `${device.engine}${pace}: ${device.description}${speed}`;
}
