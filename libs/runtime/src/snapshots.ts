import { allFinite, freshState, LongtailError, serverOptimizer, type StateVector } from '@longtail/core';
import { divergence } from './divergence.js';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';
import type { RunSnapshot, RunStore } from './ports.js';
import type { RunCore } from './run-core.js';

/** Checkpoints beside the rounds, and the model at the end. Keeps one copy of parameters and moments. */
export class Snapshots {
  private copy: { readonly parameters: Float32Array; readonly state: readonly StateVector[] } | undefined;
  private writing: Promise<void> | undefined;
  private nextAtMs: number;
  private lastPath = '';

  constructor(
    private readonly core: RunCore,
    /** That is durable. */
    private lastVersion: number,
    /** Until the first one. */
    waitMs: number,
  ) {
    this.nextAtMs = core.clock.nowMs() + waitMs;
  }

  /** Starts to write a checkpoint when one is due. Called between commits; copies in turns, so that sockets are served. */
  readonly whenDue = async (): Promise<void> => {
    const { core } = this;
    const now = core.clock.nowMs();
    if (now < this.nextAtMs || this.writing !== undefined || core.version === this.lastVersion) return;
    this.nextAtMs = now + core.job.checkpoint.everyMs;
    const snapshot = await this.take();
    if (!allFinite(snapshot.parameters)) throw divergence(core, 'every worker'); // the checkpoint before stands
    await core.following.check();
    this.lastVersion = core.version;
    this.writing = this.write(snapshot, now).finally(() => (this.writing = undefined));
  };

  /**
   * Saves the last version: its model first, then, however short the run was, a checkpoint that more epochs may go on from.
   * Resolves with the model's path, and with the LongtailError `storage` of whichever there was no room for. Where parameters
   * overflowed with the last steps, the last checkpoint is the last good version.
   */
  async saveLast(): Promise<{ readonly model: string; readonly error: LongtailError | undefined }> {
    await this.writing;
    const snapshot = await this.take();
    if (!allFinite(snapshot.parameters)) return { model: this.lastPath, error: undefined };
    const { store, recorder, following } = this.core;
    await following.check();
    let model = '';
    try {
      await recorder.flush();
      model = (await store.saveModel(snapshot)).path;
      this.warn(snapshot, await store.checkpoint(snapshot));
      return { model, error: undefined };
    } catch (error) {
      return { model, error: LongtailError.from(error, 'storage') };
    }
  }

  dispose(): void {
    this.copy = undefined;
  }

  private async write(snapshot: RunSnapshot, startedAtMs: number): Promise<void> {
    const { core } = this;
    try {
      await core.recorder.flush();
      const written = await core.store.checkpoint(snapshot);
      const { path, bytes } = written;
      this.lastPath = path;
      core.emit({ event: 'checkpoint', run: core.run, version: snapshot.version, path, bytes, ms: core.clock.nowMs() - startedAtMs });
      this.warn(snapshot, written);
    } catch (error) {
      core.fail(LongtailError.from(error, 'storage'));
    }
  }

  private warn({ version }: RunSnapshot, { path, behind }: Awaited<ReturnType<RunStore['checkpoint']>>): void {
    if (behind === undefined) return;
    const message = `version ${version} is in ${path} alone: ${behind.message}`;
    this.core.emit({ event: 'warning', run: this.core.run, message, hint: behind.hint ?? '' });
  }

  /** The vectors are written anew by the next call. */
  async take(): Promise<RunSnapshot> {
    const { core } = this;
    const { shard, grid } = core.training!;
    const { parameters, state } = (this.copy ??= { parameters: new Float32Array(grid.length), state: freshState(serverOptimizer(core.job), grid.length) });
    await this.inTurns(parameters, (part, offset) => shard.readParameters(part, offset));
    for (const [index, vector] of state.entries()) await this.inTurns(vector, (part, offset) => shard.readState(index, part, offset));
    return { ...headerOf(core), parameters, state };
  }

  private async inTurns<Vector extends StateVector>(vector: Vector, read: (part: Vector, offset: number) => void): Promise<void> {
    const { chunkLength } = this.core.training!.grid;
    for (let offset = 0, chunk = 1; offset < vector.length; offset += chunkLength, chunk++) {
      read(vector.subarray(offset, offset + chunkLength) as Vector, offset);
      if (chunk % CHUNKS_A_TURN === 0) await this.core.turn();
    }
  }
}

/** Of the present version. */
export function headerOf(core: RunCore): Omit<RunSnapshot, 'parameters' | 'state'> {
  const { run, job, version, record } = core;
  const { shard, layout, leases } = core.training!;
  const { validationSamples, blocks } = core.measure!;
  return { run, job, layout, version, steps: shard.steps, leases: leases.snapshot(), validationSamples, blocks, metrics: { ...record.metrics } };
}
