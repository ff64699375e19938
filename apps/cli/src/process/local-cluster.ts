import type { DeviceSpeed, LongtailError } from '@longtail/core';
import type { LinkRates } from '@longtail/spec/links';
import type { AllowedCode, EngineChoice } from '@longtail/worker';
import type { Output } from '../terminal/output.js';
import type { Child } from './children.js';
import { startServerProcess } from './server-process.js';
import { describeDevice, startWorkerProcess } from './worker-process.js';

export interface LocalWorker {
  /** @default worker-1, worker-2, … */
  readonly name?: string;
  /** @default 1 */
  readonly pace?: number;
  /** A device to emulate; undefined: it is what it is. */
  readonly emulated?: DeviceSpeed;
  /** That it offers; undefined: all there is. */
  readonly memoryBytes: number | undefined;
  /** That it emulates; undefined: the machine's own. */
  readonly link: LinkRates | undefined;
}

export interface LocalClusterOptions {
  readonly runsFolder: string;
  readonly workers: readonly LocalWorker[];
  /** Bytes that one of a tensor takes of the links that are emulated. @default 1 */
  readonly standsFor?: number;
  /** Values that a chunk has; undefined: as many as anywhere. */
  readonly chunkLength?: number;
  readonly threads: number;
  readonly allowCode: AllowedCode;
}

/** A server and workers on this machine, each a process, that live and end with this one. */
export class LocalCluster {
  /** Resolves when the cluster can no longer do its work: the server is gone, a worker never came up, or all have died. */
  readonly failed: Promise<LongtailError>;
  private fail!: (error: LongtailError) => void;
  private server: Child | undefined;
  private readonly workers = new Set<Child>();
  private ending = false;

  constructor(
    private readonly options: LocalClusterOptions,
    private readonly output: Output,
  ) {
    this.failed = new Promise((resolve) => (this.fail = resolve));
  }

  get threads(): number {
    return this.options.threads;
  }

  /** Starts everything; resolves with the server's address when it listens. Workers join in their own time. */
  async start(engine: EngineChoice): Promise<string> {
    const { runsFolder, chunkLength, workers } = this.options;
    const { child, address } = await startServerProcess({
      runsFolder,
      chunkLength,
      fleetSize: workers.length,
      onStarted: (started) => (this.server = started),
      onLine: (line) => this.output.detail(`server: ${line}`),
    });
    void child.ended().then((error) => this.onServerEnd(error));
    workers.forEach((worker, i) => this.startWorker(address, engine, worker.name ?? `worker-${i + 1}`, worker));
    return address;
  }

  /** Ends every process in order, workers first; resolves when none is left. */
  async end(): Promise<void> {
    this.ending = true;
    await Promise.all([...this.workers].map((worker) => worker.leave('the command has ended')));
    await this.server?.leave('the command has ended');
  }

  kill(): void {
    this.ending = true;
    for (const child of [...this.workers, this.server]) child?.kill();
  }

  private startWorker(server: string, engine: EngineChoice, name: string, { pace = 1, emulated, memoryBytes, link }: LocalWorker): void {
    const { standsFor, chunkLength, threads, allowCode } = this.options;
    let cameUp = false;
    const worker = startWorkerProcess({
      server,
      name,
      engine,
      pace,
      emulated,
      threads,
      memoryBytes,
      listen: undefined,
      maxUpload: undefined,
      link: link && { ...link, standsFor },
      chunkLength,
      allowCode,
      wait: false,
      onMessage: (message) => {
        if (message.type === 'event') cameUp ||= message.event.event === 'joined';
        if (message.type === 'device') this.output.detail(`${name}: ${describeDevice(message.device)} (${message.choice})`);
        else this.output.detail(`${name}: ${JSON.stringify(message)}`);
      },
      onLine: (line) => this.output.detail(`${name}: ${line}`),
    });
    this.workers.add(worker);
    void worker.ended().then((error) => {
      this.workers.delete(worker);
      if (!this.ending && (!cameUp || this.workers.size === 0)) this.fail(error);
    });
  }

  private onServerEnd(error: LongtailError): void {
    this.server = undefined;
    if (!this.ending) this.fail(error);
  }
}
