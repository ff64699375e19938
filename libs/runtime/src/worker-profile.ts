import { LongtailError, type AllocateTensor, type Job, type PeerLink, type TensorChunk } from '@longtail/core';
import type { PeerProbed, Profile, ProbePeer } from '@longtail/protocol';
import { FileIntake } from './file-intake.js';
import { measureMessage, measureSending } from './measure-sending.js';
import { within } from './within.js';
import type { WorkerRunContext } from './worker-run.js';

const PROGRESS_EVERY_MS = 500;
/** Who can be reached answers at once: on hosts behind a firewall nobody ever does. */
const OPEN_MS = 3000;

/** What a worker does for a run before it has a place in it: it times the model's blocks, and its links to others. */
export class WorkerProfile {
  readonly run: string;
  /** Resolves when it has let go of the device. Never rejects. */
  readonly stopped: Promise<void>;
  private readonly lifetime = new AbortController();
  private readonly files: FileIntake;
  private readonly links = new Set<PeerLink>();

  /** `before` resolves when the device is free. */
  constructor(
    private readonly profile: Profile,
    private readonly context: WorkerRunContext,
    before: Promise<void>,
  ) {
    this.run = profile.run;
    this.files = new FileIntake(context.fileCache, (sha256) => context.send({ message: 'fileRequest', fileRequest: { sha256 } }));
    this.stopped = before.then(() => this.measureBlocks());
  }

  end(reason: string): void {
    this.lifetime.abort(new LongtailError(reason, { code: 'cancelled' }));
    for (const link of this.links) link.close(reason);
  }

  /** Resolves when the next chunk may come. */
  async onTensor(chunk: TensorChunk): Promise<void> {
    if (chunk.header.kind === 'file') return this.files.take(chunk);
  }

  /** Measures the way to another worker, who measures the way back. The link stays open for that, until the end. */
  async onProbePeer({ node, address, key, curveKey, mostBytes }: ProbePeer): Promise<void> {
    const { run, lifetime, context } = this;
    const { signal } = lifetime;
    const answer = (figures: Omit<PeerProbed, 'run' | 'node'>) => {
      if (!signal.aborted) context.send({ message: 'peerProbed', peerProbed: { run, node, ...figures } });
    };
    try {
      const { clock, peers, allocate = privateMemory } = context;
      if (peers === undefined) throw new LongtailError('this worker has no direct links', { code: 'unreachable' });
      const link = await within(OPEN_MS, { clock, signal }, (limit) =>
        address === '' ? peers.accept(key, limit, curveKey) : peers.dial(address, key, limit, curveKey),
      );
      this.adopt(link);
      const rate = await measureSending(link, { clock, allocate, mostBytes, signal });
      answer({ ...rate, messageMs: await measureMessage(link, rate, { clock, allocate, signal }), problem: '' });
    } catch (error) {
      answer({ bitsPerSecond: 0, roundTripMs: 0, messageMs: 0, problem: LongtailError.from(error, 'unreachable').message });
    }
  }

  private adopt(link: PeerLink): void {
    this.links.add(link);
    link.start({ place: () => 'borrow', tensor: () => undefined, closed: () => this.links.delete(link) });
    if (this.lifetime.signal.aborted) link.close('the run is over');
  }

  private async measureBlocks(): Promise<void> {
    const { run, context, profile } = this;
    const { compute, log, send, clock } = context;
    const { signal } = this.lifetime;
    const job = JSON.parse(profile.jobJson) as Job;
    let saidAtMs = clock.nowMs();
    const onBlock = (done: number, total: number) => {
      if (clock.nowMs() < saidAtMs + PROGRESS_EVERY_MS) return;
      saidAtMs = clock.nowMs();
      send({ message: 'profileProgress', profileProgress: { run, done, total } });
    };
    try {
      signal.throwIfAborted();
      log?.({ event: 'profiling', run, job: job.name });
      const files = await this.files.fetch(profile.files, signal);
      const { timings, handOverMs, cached } = await compute.profile(job, files, profile.microbatches, onBlock, signal);
      send({ message: 'profiled', profiled: { run, timings, handOverMs, cached, problem: '' } });
    } catch (error) {
      const problem = LongtailError.from(error, 'engine').message;
      if (!signal.aborted) send({ message: 'profiled', profiled: { run, timings: [], handOverMs: 0, cached: false, problem } });
    }
  }
}

export const privateMemory: AllocateTensor = (bytes) => new Uint8Array(bytes);
