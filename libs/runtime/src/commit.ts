import { outerStepOf, type CodedChunk, type ParameterShard, type RecordedChunk } from '@longtail/core';
import type { Moved } from './fragment-turns.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import type { RunCore } from './run-core.js';
import { chunkSpan } from './grid.js';
import { CHUNKS_A_TURN, type FillSegment, type Published } from './outgoing-parameters.js';
import type { Segment } from './segments.js';
import type { Training } from './training.js';

export interface Contribution {
  readonly task: GroupTask;
  readonly weight: number;
  /** Where fragments are exchanged in turn. */
  readonly moved?: Moved | undefined;
}

export interface CommitOptions {
  /** Multiplies the learning rate. */
  readonly stepScale: number;
  readonly reason: string;
  /** The contributions are moves of groups that stepped for themselves: they weigh by their samples. */
  readonly local: boolean;
  /** When somebody at work is to be looked at again. */
  readonly wakeAtMs: number | undefined;
  /** Whose members are sent the version at once. */
  readonly supplied: readonly Group[];
  /** Samples that a fragment's mean is over besides: groups stepped them, and send them with it later. */
  unsentOf(fragment: number): number;
}

type CodedOf = (segment: Segment, chunk: number) => CodedChunk[];

/** Above this length the norm is taken only when clipping needs it. */
const MEASURED_LENGTH = 1 << 20;

/**
 * Steps the server's optimizer with the mean of the contributions, by samples and weights, added in the order given, and
 * sends the new parameters to whom they are to be sent while they are made: one pass over the chunks of the segments. What is tied between two stages of a group gets the sum of both. Once begun it is finished,
 * whatever happens to the run, so that the shard is never between two versions.
 */
export async function commitRound(
  core: RunCore,
  contributions: readonly Contribution[],
  { stepScale, reason, local, wakeAtMs, supplied, unsentOf }: CommitOptions,
): Promise<void> {
  const training = core.training!;
  const { shard, leases, grid } = training;
  const { segments } = core;
  const codedChunk: CodedOf = (segment, chunk) => {
    const coded: CodedChunk[] = [];
    for (const one of contributions) addCoded(coded, one.task, local ? one.weight * samplesOf(one, segment) : one.weight, segment, chunk);
    return coded;
  };
  const weighed = (segment: Segment) => sum(contributions.map((one) => one.weight * samplesOf(one, segment)));
  const moved = core.fragments === undefined ? segments : segments.filter((segment) => weighed(segment) > 0);
  const weights = new Map(moved.map((segment) => [segment, weighed(segment) + unsentOf(segment.index)]));
  const weightedOf = (segment: Segment) => weights.get(segment)!;
  const done = contributions.map(({ task }) => task.done!);
  const samples = sum(done.map((one) => one.samples));
  // Of gradients: what groups do for themselves they clip at each step.
  const clipNorm = local ? undefined : core.job.train.clipNorm;
  const norm = new MeanNorm(weightedOf);
  if (clipNorm !== undefined) await measureAhead(core, training, moved, codedChunk, norm);
  const clip = clipNorm !== undefined && norm.value > clipNorm ? clipNorm / norm.value : 1;
  const measured = clipNorm === undefined && grid.length <= MEASURED_LENGTH;
  const learningRate = training.learningRate(leases.totals().applied);

  const following = core.following.beginCommit();
  const scaleOf = (segment: Segment) => clip / weightedOf(segment);
  const { recorder } = core;
  const checksums = new Map<number, number>();
  const step = (offset: number, length: number, segment: Segment, chunk: number): void => {
    const sumOfSquares = shard.stepChunk(offset, length, codedChunk(segment, chunk), scaleOf(segment), measured);
    if (measured) norm.add(segment, chunk, sumOfSquares);
    if (recorder.isOn) checksums.set(segment.index, shard.checksum(offset, length, checksums.get(segment.index)));
  };
  // Each fragment makes a version of its own.
  const changes = core.fragments === undefined ? [undefined] : moved;
  const tasks = contributions.map(({ task }) => task);
  await recorder.keep(core.version + changes.length, tasks, recordedChunks(tasks, moved));
  for (const fragment of changes) {
    await core.outgoing.finishAll();
    const rate = stepScale * (local ? outerStepOf(core.job.sync).learningRate : learningRate);
    following?.addStep(rate, fragment === undefined ? segments : [fragment], scaleOf, (segment) => ({ offset, length }, out, chunk) =>
      shard.encodeSum(segment.offset + offset, length, codedChunk(segment, chunk), out),
    );
    shard.beginStep({ learningRate: rate });
    const parameters = publishStepped(core, shard, step, fragment);
    core.version++;
    for (const { members } of supplied) for (const member of members) member.supply(parameters);
    await core.outgoing.finish(parameters.tensors);
  }

  await core.outgoing.finish(following?.tensors ?? []);

  const tell = () => {
    for (const { task, weight, moved } of contributions) {
      core.tasks.settle(task, { applied: task.leasesDone, weight, reason: task.recalled ? 'called home early' : '' });
      if (moved !== undefined) for (const lease of moved.whole) leases.apply(lease.id);
      core.roster.succeeded(task.group);
    }
    training.announceCommit({
      samples,
      lossSum: sum(done.map(({ lossSum }) => lossSum)),
      correct: sum(done.map(({ correct }) => correct)),
      targets: sum(done.map(({ targets }) => targets)),
      learningRate,
      stepScale,
      gradientNorm: norm.value,
      reason,
      round: contributions[0]!.task.task.round,
      fragments: core.fragments === undefined ? undefined : moved.map(({ index }) => index),
      checksums: recorder.isOn ? moved.map(({ index }) => checksums.get(index)!) : undefined,
    });
  };
  await core.following.tell(following, Math.min(wakeAtMs ?? Infinity, core.clock.nowMs() + core.job.sync.minDeadlineMs), tell);
}

type StepChunk = (offset: number, length: number, segment: Segment, chunk: number) => void;

/** The next version's tensors, whose chunks are stepped as they are coded. */
function publishStepped(core: RunCore, shard: ParameterShard, step: StepChunk, fragment: Segment | undefined): Published {
  const { outgoing, segments, version, downCodec, byDifferences, change } = core;
  const fill: FillSegment = ({ offset, length }, out, segment, chunk) => {
    step(offset, length, segment, chunk);
    return byDifferences ? shard.encodeDifference(offset, length, downCodec.name, out) : shard.encodeParameters(offset, length, downCodec.id, out);
  };
  if (fragment === undefined && !byDifferences) return outgoing.publish(segments, version + 1, downCodec, fill);
  return outgoing.publishChange(shard, segments, version + 1, { ...change, fragment }, fill);
}

function samplesOf({ task, moved }: Contribution, { index }: Segment): number {
  return moved === undefined ? task.done!.samples : (moved.samples.get(index) ?? 0);
}

/** Of each stage that holds the segment, in the order of the stages. */
function addCoded(coded: CodedChunk[], { parts }: GroupTask, weight: number, { index }: Segment, chunk: number): void {
  for (const { delivery } of parts) if (delivery.has('gradient', index)) coded.push(delivery.coded('gradient', index, chunk, weight));
}

/** Of all workers of the tasks, in the order in which the log has their contributions. */
function* recordedChunks(tasks: readonly GroupTask[], segments: readonly Segment[]): Generator<RecordedChunk> {
  const deliveries = tasks.flatMap(({ parts }) => parts.map(({ delivery }) => delivery));
  for (const { index, grid, offset: from } of segments) {
    for (let chunk = 0; chunk < grid.chunks; chunk++) {
      const { offset, length } = chunkSpan(grid, chunk);
      const parts = deliveries.flatMap((delivery, part) => {
        if (!delivery.has('gradient', index)) return [];
        const { codecId, bytes } = delivery.coded('gradient', index, chunk);
        return [{ part, codecId, bytes }];
      });
      yield { kind: 'gradient', index, offset: from + offset, length, parts };
    }
  }
}

/** Norm of the mean gradient, from its sum's chunks in whatever order; 0 of none. */
class MeanNorm {
  /** Of each segment's chunks, divided. */
  private readonly squares = new Map<number, number[]>();

  constructor(private readonly weightedOf: (segment: Segment) => number) {}

  add(segment: Segment, chunk: number, sumOfSquares: number): void {
    const { index } = segment;
    let ofSegment = this.squares.get(index);
    if (ofSegment === undefined) this.squares.set(index, (ofSegment = []));
    ofSegment[chunk] = sumOfSquares / this.weightedOf(segment) ** 2;
  }

  /** Added up in the order of the vector: the same bits whoever was sent what first. */
  get value(): number {
    const inOrder = [...this.squares].sort(([a], [b]) => a - b).flatMap(([, squares]) => squares);
    return Math.sqrt(sum(inOrder));
  }
}

async function measureAhead(core: RunCore, { shard }: Training, segments: readonly Segment[], codedChunk: CodedOf, norm: MeanNorm): Promise<void> {
  let chunks = 0;
  for (const segment of segments) {
    for (let chunk = 0; chunk < segment.grid.chunks; chunk++) {
      const { offset, length } = chunkSpan(segment.grid, chunk);
      norm.add(segment, chunk, shard.inspectSum(segment.offset + offset, length, codedChunk(segment, chunk)).sumOfSquares);
      if (++chunks % CHUNKS_A_TURN === 0) await core.turn();
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
