import {
  fragmentsOf,
  localStepsOf,
  LongtailError,
  outerStepOf,
  serverOptimizer,
  withSync,
  type Codec,
  type Job,
  type OptimizerSpec,
  type ParameterShard,
  type RecordedChunk,
  type RunEvent,
  type StoredEvent,
} from '@longtail/core';
import { fillShard, type ShardState } from './fill-shard.js';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;
type Commit = Extract<RunEvent, { readonly event: 'commit' }>;

export interface ReplayOptions {
  /** As it was launched. */
  readonly job: Job;
  /** float32: of what a lone worker brings home whole. */
  readonly exact: Codec;
  /** What the run began with. */
  readonly from: ShardState;
  /** Zeros. */
  createShard(optimizer: OptimizerSpec): ParameterShard;
}

/** A commit as it was computed again. */
export interface ReplayedCommit {
  /** What it is made of, in the order in which it was added. */
  readonly contributions: readonly Contribution[];
  /** Of each segment that changed, to be compared with those of the event. */
  readonly checksums: readonly number[];
}

/** The contribution of a group: one of each of its workers. */
interface Contributed {
  readonly weight: number;
  /** Numbers of its workers' contributions in the commit. */
  readonly parts: ReadonlySet<number>;
  /** That its move of a fragment is of. */
  samplesOf(fragment: number): number;
}

/** Steps of a stream, and the fragments that they were not sent with yet. */
interface Unsent {
  readonly samples: number;
  readonly missing: Set<number>;
}

/**
 * Standing events, each with whether what a commit then is made of was recorded: in the part that the last event `recording` began, of
 * the run or of a standby that took over.
 */
export function* recordedIn(events: readonly StoredEvent[]): Generator<{ readonly body: RunEvent; readonly recorded: boolean }> {
  let upTo = -1;
  for (const { body } of events) {
    if (body.event === 'recording') upTo = Infinity;
    if (body.event === 'recording_stopped') upTo = body.version;
    if (body.event === 'resumed' && body.version <= upTo) upTo = Infinity;
    yield { body, recorded: body.event === 'commit' && body.version <= upTo };
  }
}

/**
 * Recomputes a run's parameters from its event log and the contributions of each commit (DESIGN.md section 5, line 2), as
 * whoever has both can. Takes standing events in their order (`standingEvents`).
 */
export class Replay {
  private job: Job;
  private current: ParameterShard | undefined;
  private from: ShardState;
  private accepted: Contribution[] = [];
  private readonly unsent = new Map<string, Unsent[]>();

  constructor(private readonly options: ReplayOptions) {
    this.job = options.job;
    this.from = options.from;
  }

  /** As the last commit left it. */
  get shard(): ParameterShard {
    if (this.current === undefined) {
      this.current = this.options.createShard(serverOptimizer(this.job));
      fillShard(this.current, this.from);
    }
    return this.current;
  }

  /** From a version that is not computed: what made it is not there. */
  goOnFrom(version: ShardState): void {
    this.from = version;
    this.current = undefined;
  }

  /** Any event but a commit. */
  take(event: RunEvent): void {
    switch (event.event) {
      case 'sync':
        this.job = withSync(this.job, event);
        return;
      case 'contribution':
        if (event.accepted) this.accepted.push(event);
        return;
      case 'samples_lost':
        this.unsent.delete(event.node);
        return;
      case 'resumed':
        this.accepted = [];
        this.unsent.clear();
    }
  }

  /**
   * `chunks` are those of the commit, segment by segment; where it is of fragments, in their order. Throws LongtailError `differs`
   * where they are of contributions that the log does not have.
   */
  commit(event: Commit, chunks: Iterable<RecordedChunk>): ReplayedCommit {
    const contributions = this.accepted;
    this.accepted = [];
    const checksums = event.soloSteps === undefined ? this.step(event, contributions, chunks) : this.bringHome(event.soloSteps, chunks);
    return { contributions, checksums };
  }

  private step(commit: Commit, contributions: readonly Contribution[], chunks: Iterable<RecordedChunk>): readonly number[] {
    const { shard } = this;
    const groups = this.contributed(contributions);
    const local = localStepsOf(this.job.sync) !== undefined;
    const learningRate = (commit.stepScale ?? 1) * (local ? outerStepOf(this.job.sync).learningRate : commit.learningRate);
    const { clipNorm } = this.job.train;
    const clip = !local && clipNorm !== undefined && commit.gradientNorm > clipNorm ? clipNorm / commit.gradientNorm : 1;
    const checksums = new Map<number, number>();
    for (const { index, offset, length, parts } of chunks) {
      // Those that are exchanged in turn make a step each.
      const begins = commit.fragments === undefined ? checksums.size === 0 : !checksums.has(index);
      if (begins) shard.beginStep({ learningRate });
      const coded = parts.map(({ part, codecId, bytes }) => {
        const group = groups.find((one) => one.parts.has(part));
        if (group === undefined) throw unknownPart(commit, contributions);
        return { bytes, codecId, weight: local ? group.weight * group.samplesOf(index) : group.weight };
      });
      const weighted = groups.reduce((sum, { weight, samplesOf }) => sum + weight * samplesOf(index), this.unsentOf(index));
      shard.stepChunk(offset, length, coded, clip / weighted);
      checksums.set(index, shard.checksum(offset, length, checksums.get(index)));
    }
    return [...checksums.values()];
  }

  /** What a lone worker stepped to is the next version. */
  private bringHome(steps: number, chunks: Iterable<RecordedChunk>): readonly number[] {
    const { shard } = this;
    shard.setSteps(shard.steps + steps);
    let checksum: number | undefined;
    for (const { kind, index, offset, length, parts } of chunks) {
      const values = new Float32Array(length);
      this.options.exact.decode(parts[0]!.bytes, values);
      if (kind === 'state') shard.writeState(index, values, offset);
      else {
        shard.writeParameters(values, offset);
        checksum = shard.checksum(offset, length, checksum);
      }
    }
    return [checksum!];
  }

  /** In the order in which they were added. */
  private contributed(contributions: readonly Contribution[]): readonly Contributed[] {
    const groups = new Map<string, number[]>();
    for (const [part, { stage, node }] of contributions.entries()) {
      const group = stage?.group ?? node;
      groups.set(group, [...(groups.get(group) ?? []), part]);
    }
    return [...groups.values()].map((numbers) => {
      const parts = numbers.map((part) => contributions[part]!);
      const first = parts.filter(({ stage }) => (stage?.stage ?? 0) === 0);
      const samples = first.reduce((sum, one) => sum + one.samples, 0);
      const moved = this.moved(parts[0]!);
      return { weight: parts[0]!.weight, parts: new Set(numbers), samplesOf: (fragment) => (moved === undefined ? samples : (moved.get(fragment) ?? 0)) };
    });
  }

  /** Samples that the move of each fragment of a stream is of: all since it was sent last. */
  private moved({ node, samples, fragments }: Contribution): ReadonlyMap<number, number> | undefined {
    const count = fragmentsOf(this.job.sync);
    if (fragments === undefined || count === undefined) return undefined;
    const unsent = [...(this.unsent.get(node) ?? [])];
    if (samples > 0) unsent.push({ samples, missing: new Set(Array.from({ length: count }, (_, fragment) => fragment)) });
    const movedBy = (fragment: number) => unsent.filter(({ missing }) => missing.delete(fragment)).reduce((sum, steps) => sum + steps.samples, 0);
    const moved = new Map(fragments.map((fragment) => [fragment, movedBy(fragment)]));
    this.unsent.set(node, unsent);
    return moved;
  }

  /** Samples that groups stepped and did not send of a fragment: its mean is over them too. */
  private unsentOf(fragment: number): number {
    return [...this.unsent.values()].flat().reduce((sum, { samples, missing }) => (missing.has(fragment) ? sum + samples : sum), 0);
  }
}

function unknownPart({ version }: Commit, { length }: readonly Contribution[]): LongtailError {
  return new LongtailError(`Version ${version} is made of more contributions than the ${length} that the event log has.`, { code: 'differs' });
}
