import { LongtailError, type Job, type TensorChunk } from '@longtail/core';
import type { Profile } from '@longtail/protocol';
import { FileIntake } from './file-intake.js';
import type { WorkerRunContext } from './worker-run-context.js';

const PROGRESS_EVERY_MS = 500;

/** What a worker does for a run before it has a place in it: it times the model's blocks. */
export class WorkerProfile {
  readonly run: string;
  /** Resolves when it has let go of the device. Never rejects. */
  readonly stopped: Promise<void>;
  private readonly lifetime = new AbortController();
  private readonly files: FileIntake;

  /** `before` resolves when the device is free. */
  constructor(
    private readonly profile: Profile,
    private readonly context: WorkerRunContext,
    before: Promise<void>,
  ) {
    this.run = profile.run;
    this.files = new FileIntake(context.fileCache, (sha256) => context.session.send({ message: 'fileRequest', fileRequest: { sha256 } }));
    this.stopped = before.then(() => this.measureBlocks());
  }

  end(reason: string): void {
    this.lifetime.abort(new LongtailError(reason, { code: 'cancelled' }));
  }

  /** Resolves when the next chunk may come. */
  async onTensor(chunk: TensorChunk): Promise<void> {
    if (chunk.header.kind === 'file') return this.files.take(chunk);
  }

  private async measureBlocks(): Promise<void> {
    const { run, context, profile } = this;
    const { compute, log, session, clock } = context;
    const { signal } = this.lifetime;
    const job = JSON.parse(profile.jobJson) as Job;
    let saidAtMs = clock.nowMs();
    const onBlock = (done: number, total: number) => {
      if (clock.nowMs() < saidAtMs + PROGRESS_EVERY_MS) return;
      saidAtMs = clock.nowMs();
      session.send({ message: 'profileProgress', profileProgress: { run, done, total } });
    };
    try {
      signal.throwIfAborted();
      log?.({ event: 'profiling', run, job: job.name });
      const files = await this.files.fetch(profile.files, signal);
      const { timings, untimed, handOverMs, cached } = await compute.profile(job, files, profile.microbatches, onBlock, signal);
      session.send({ message: 'profiled', profiled: { run, timings, untimed, handOverMs, cached, problem: '' } });
    } catch (error) {
      const problem = LongtailError.from(error, 'engine').message;
      if (!signal.aborted) session.send({ message: 'profiled', profiled: { run, timings: [], untimed: 0, handOverMs: 0, cached: false, problem } });
    }
  }
}
