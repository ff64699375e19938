import type { LeaseBook, ParameterLayout, ParameterShard } from '@longtail/core';
import type { Grid } from './grid.js';
import type { CommitSums } from './learning-record.js';
import type { Published } from './outgoing-parameters.js';
import type { RunCore } from './run-core.js';

/** What a run learns, and how far it is: exists once the first worker has sent fresh parameters. */
export class Training {
  /** Of the whole vector. */
  readonly grid: Grid;

  /** `validationSamples`: those that the job wants evaluated. */
  constructor(
    private readonly core: RunCore,
    readonly layout: ParameterLayout,
    readonly shard: ParameterShard,
    readonly leases: LeaseBook,
    readonly samplesPerEpoch: number,
    readonly validationSamples: number,
  ) {
    this.grid = core.grid(layout.length);
  }

  planValidation(): void {
    const { core, samplesPerEpoch, validationSamples, leases } = this;
    if (validationSamples > 0) core.record.planValidation(core.job.validation.everyEpochs * samplesPerEpoch, leases.totals().applied);
  }

  /** Parameters and workers are there. */
  announceStart(): void {
    const { core, layout, samplesPerEpoch, leases } = this;
    const { total } = leases.totals();
    core.record.begin(core.clock.nowMs());
    core.emit({
      event: 'started',
      run: core.run,
      parameters: layout.length,
      samplesPerEpoch,
      samplesTotal: total,
      workers: core.ready.length,
    });
  }

  /** Learning rate of the step that starts at this many applied samples. */
  learningRate(samplesBefore: number): number {
    const { job, dependencies } = this.core;
    const { batch, schedule, learningRate } = job.train;
    const steps = Math.ceil(this.leases.totals().total / batch);
    return dependencies.learningRate(schedule, learningRate, Math.floor(samplesBefore / batch), steps);
  }

  announceCommit(sums: CommitSums): void {
    const { core, leases, samplesPerEpoch } = this;
    const { run, round, version } = core;
    const { batch } = core.job.train;
    const samplesApplied = leases.totals().applied;
    core.emit(core.record.commit(sums, { run, round, version, batch, samplesApplied, samplesPerEpoch, nowMs: core.clock.nowMs() }));
  }

  /** Of the present version. `exact`: in float32, whatever the job's codec. */
  parameters(exact: boolean): Promise<Published> {
    const { core, shard } = this;
    const { outgoing, segments, version } = core;
    if (exact) return outgoing.current(shard, segments, version, core.codecNamed('fp32'));
    if (core.byDifferences || core.fragments !== undefined) return outgoing.currentOfLine(shard, segments, version, core.change);
    return outgoing.current(shard, segments, version, core.downCodec);
  }
}
