import type { CodedChunk } from '@longtail/core';
import type { Assignment } from './assignment.js';
import type { RunCore, Training } from './run-core.js';
import { chunkSpan } from './grid.js';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';

export interface Contribution {
  readonly assignment: Assignment;
  readonly weight: number;
}

/** Above this length the norm is taken only when clipping needs it: the extra pass would cost a tenth of the round. */
const NORM_PASS_LENGTH = 1 << 20;

/**
 * Steps the optimizer with the mean gradient of the contributions, added in the order given, and sends the new
 * parameters to every ready member while they are made: one pass over the chunks. Once begun it is finished, whatever
 * happens to the run, so that the shard is never between two versions.
 */
export async function commitRound(core: RunCore, contributions: readonly Contribution[], reason: string): Promise<void> {
  const training = core.training!;
  const { shard, grid, leases } = training;
  const codedChunk = (chunk: number) =>
    contributions.map(({ assignment, weight }) => codedGradient(assignment, weight, chunk, core.codec.id));
  const samples = contributions.reduce((sum, { assignment }) => sum + assignment.samples, 0);
  const weighted = contributions.reduce((sum, { assignment, weight }) => sum + weight * assignment.samples, 0);
  const gradientNorm = (await normOfSum(core, training, codedChunk)) / weighted;
  const { clipNorm } = core.job.train;
  const clip = clipNorm !== undefined && gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
  const learningRate = core.learningRate(leases.totals().applied);

  shard.beginStep({ learningRate });
  const codec = core.codec;
  const parameters = core.outgoing.publish(grid, core.version + 1, codec, ({ offset, length }, out, chunk) => {
    shard.stepChunk(offset, length, codedChunk(chunk), clip / weighted);
    return shard.encodeParameters(offset, length, codec.id, out);
  });
  core.version++;
  for (const member of core.ready) member.supply(parameters);
  await core.outgoing.finish(parameters.tensor);

  for (const { assignment, weight } of contributions) {
    core.settle(assignment, { applied: assignment.leases.length, weight, reason: '' });
    core.roster.succeeded(assignment.member);
  }
  const done = contributions.map(({ assignment }) => assignment.done!);
  core.announceCommit({
    samples,
    lossSum: sum(done.map(({ lossSum }) => lossSum)),
    correct: sum(done.map(({ correct }) => correct)),
    targets: sum(done.map(({ targets }) => targets)),
    learningRate,
    gradientNorm,
    reason,
  });
}

function codedGradient(assignment: Assignment, weight: number, chunk: number, codecId: number): CodedChunk {
  return { bytes: assignment.delivery.bytes('gradient', 0, chunk), codecId, weight };
}

/** Norm of the gradient sum; 0 where nobody asked for it and it would be dear. */
async function normOfSum(core: RunCore, { shard, grid }: Training, codedChunk: (chunk: number) => CodedChunk[]): Promise<number> {
  if (core.job.train.clipNorm === undefined && grid.length > NORM_PASS_LENGTH) return 0;
  let sumOfSquares = 0;
  for (let chunk = 0; chunk < grid.chunks; chunk++) {
    const { offset, length } = chunkSpan(grid, chunk);
    sumOfSquares += shard.inspectSum(offset, length, codedChunk(chunk)).sumOfSquares;
    if (chunk % CHUNKS_A_TURN === CHUNKS_A_TURN - 1) await core.turn();
  }
  return Math.sqrt(sumOfSquares);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
