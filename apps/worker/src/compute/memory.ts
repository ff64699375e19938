import { elementCount, formatBytes, LongtailError } from '@longtail/core';
import type { Job, StageUse } from '@longtail/core';
import { profileModel } from '@longtail/engine';
import type { Model, StageModel } from '@longtail/engine';

/** What a model or a stage of it takes on a device, in bytes. */
export interface MemoryNeed {
  /** In the vectors that the event loop shares, and on the engine. */
  readonly parameters: number;
  readonly gradient: number;
  /** Moments of an optimizer that runs here. */
  readonly state: number;
  /** Of all microbatches in flight. */
  readonly stash: number;
  /** Of the pass under way: its gradient, and what backward computes on the way. */
  readonly workspace: number;
}

/** What a microbatch holds between its passes, and what its backward pass works on. */
export interface PassBytes {
  readonly stash: number;
  readonly workspace: number;
}

const VALUE_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Of a worker's stages whose microbatches take so much, as far as that is known: which ones are in flight the schedule decides. `stateBytes`: of its own optimizer, a parameter. */
export function stagesNeed(stages: readonly StageModel[], { inFlight }: StageUse, passes: readonly PassBytes[], stateBytes = 0): MemoryNeed {
  const vectors = stages.map(({ layout }) => VALUE_BYTES * layout.length);
  const vector = vectors.reduce((sum, bytes) => sum + bytes, 0);
  const stash = inFlight * Math.max(...passes.map((pass) => pass.stash));
  const workspace = Math.max(...passes.map((pass, i) => vectors[i] + pass.workspace));
  return { parameters: 2 * vector, gradient: 2 * vector, state: (stateBytes * vector) / VALUE_BYTES, stash, workspace };
}

/** Of a whole model whose optimizer has so many bytes of state a parameter, with a pass of so many samples. */
export function wholeNeed(stage: StageModel, stateBytes: number, samples: number, estimate = 0): MemoryNeed {
  const vector = VALUE_BYTES * stage.layout.length;
  const { stash, workspace } = leastPassBytes(stage, samples, false, estimate);
  return { parameters: 2 * vector, gradient: 2 * vector, state: stateBytes * stage.layout.length, stash, workspace: vector + workspace };
}

/** Samples of a pass of a whole model for which there is room, as a plan counts it by the `estimate` of what one keeps; at least one. */
export function roomFor(stage: StageModel, stateBytes: number, estimate: number, offeredBytes: number): number {
  const fixed = totalOf(wholeNeed(stage, stateBytes, 0));
  return Math.max(1, Math.floor((offeredBytes - fixed) / (2 * Math.max(VALUE_BYTES * stage.activationsPerSample, estimate))));
}

/** Bytes a sample that a stage keeps for its backward pass, by the shapes inside its blocks. */
export function estimateOf(whole: Model, { range }: StageModel, { name }: Job): number {
  const { blocks } = profileModel(name, whole);
  return blocks.slice(range.start, range.end).reduce((sum, { stashBytes }) => sum + stashBytes, 0);
}

/**
 * What can be said before anything is built: no stash holds less than what leaves the blocks, nor less than half of what
 * `estimate`, bytes a sample from the shapes inside them (profileModel), says: it errs by less than two.
 */
export function leastPassBytes(stage: StageModel, samples: number, recompute: boolean, estimate = 0): PassBytes {
  const activations = samples * Math.max(VALUE_BYTES * stage.activationsPerSample, estimate / 2);
  return { stash: recompute ? VALUE_BYTES * samples * elementCount(stage.inputShape) : activations, workspace: activations };
}

function totalOf(need: MemoryNeed): number {
  return Object.values(need).reduce((sum: number, bytes: number) => sum + bytes, 0);
}

/** The need's total. Throws LongtailError `refused` when it exceeds what the owner of the node offered. */
export function assertFits(what: string, need: MemoryNeed, offeredBytes: number): number {
  const total = totalOf(need);
  if (total <= offeredBytes) return total;
  const parts = Object.entries(need).flatMap(([name, bytes]: [string, number]) => (bytes > 0 ? [`${name} ${formatBytes(bytes)}`] : []));
  throw new LongtailError(`${what} needs ${formatBytes(total)}, this node offers ${formatBytes(offeredBytes)}: ${parts.join(', ')}`, {
    code: 'refused',
    hint: 'Give the node fewer blocks or smaller microbatches, use recompute, or offer more with --memory.',
  });
}
