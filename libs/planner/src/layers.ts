import type { CostModel } from './cost-model.js';

/** Of the middle one's work: a block with less is counted as none. */
const COUNTED = 0.5;

/** A stage that is not a pipeline's last, and one that is. */
export const INNER = 0;
export const LAST = 1;

/** What devices of one speed and memory do of a pipeline, in milliseconds a sample: no stage of theirs takes less. */
export interface LayerTimes {
  readonly layerMs: number;
  /** … computed again on the way back. */
  readonly againMs: number;
  /** Of the last block. */
  readonly headMs: number;
  readonly headAgainMs: number;
  /** By place: most layers whose activations its memory keeps, and that it holds at all; less than none: no such stage. */
  readonly kept: readonly number[];
  readonly held: readonly number[];
}

/**
 * A model as layers that are alike, and a head: a block counts as a layer, much smaller ones as none, and the last by itself. A
 * device's layer takes as long as the least of them.
 */
export class Layers {
  readonly count: number;
  /** By place and layers: the fewest parameters of a stage with so many or more. */
  readonly values: readonly Float64Array[];
  private readonly counted: Int32Array;
  /** By place: [start, end] of all stages of a pipeline. */
  private readonly stages: readonly (readonly (readonly [number, number])[])[];

  constructor(private readonly model: CostModel) {
    const { costs } = model;
    this.counted = countedBlocks(model);
    this.count = this.counted.at(-1)!;
    const cuts = Array.from({ length: costs.blocks + 1 }, (_, at) => at).filter((at) => costs.canCut(at));
    const stages = cuts.flatMap((start) => cuts.filter((end) => start < end && end - start < costs.blocks).map((end) => [start, end] as const));
    this.stages = [stages.filter(([, end]) => end < costs.blocks), stages.filter(([, end]) => end === costs.blocks)];
    this.values = this.stages.map((of) => this.leastValues(of));
  }

  /** Of each device at a microbatch size, by index. */
  times(microbatch: number): readonly LayerTimes[] {
    const times: LayerTimes[] = [];
    for (const kind of this.model.kinds.among(this.model.cluster.devices.map((_, i) => i))) {
      const ofKind = this.timesOf(kind[0]!, microbatch);
      for (const device of kind) times[device] = ofKind;
    }
    return times;
  }

  private timesOf(device: number, microbatch: number): LayerTimes {
    const { costs, cluster } = this.model;
    const last = costs.blocks - 1;
    const msOf = (block: number, again: boolean) => {
      const { forwardMs, backwardMs } = costs.workMs(cluster.devices[device]!, block, block + 1, microbatch, again);
      return Math.max(0, forwardMs + backwardMs) / microbatch;
    };
    const layers = Array.from({ length: last }, (_, block) => block).filter((block) => this.counted[block + 1]! > this.counted[block]!);
    const kept = this.stages.map(() => -1);
    const held = this.stages.map(() => -1);
    for (const place of [INNER, LAST]) {
      for (const [start, end] of this.stages[place]!) {
        const count = this.countIn(start, end);
        if (count <= kept[place]!) continue;
        const again = this.model.memory.recomputeFor(device, start, end, microbatch, place === LAST ? 1 : 2);
        if (again === false) kept[place] = count;
        if (again !== undefined) held[place] = Math.max(held[place]!, count);
      }
    }
    return {
      layerMs: Math.min(...layers.map((block) => msOf(block, false))),
      againMs: Math.min(...layers.map((block) => msOf(block, true))),
      headMs: msOf(last, false),
      headAgainMs: msOf(last, true),
      kept,
      held,
    };
  }

  private leastValues(stages: readonly (readonly [number, number])[]): Float64Array {
    const least = new Float64Array(this.count + 1).fill(Infinity);
    for (const [start, end] of stages) {
      const layers = this.countIn(start, end);
      least[layers] = Math.min(least[layers]!, this.model.costs.parameters(start, end));
    }
    for (let layers = this.count - 1; layers >= 0; layers--) least[layers] = Math.min(least[layers]!, least[layers + 1]!);
    return least;
  }

  private countIn(start: number, end: number): number {
    return this.counted[Math.min(end, this.counted.length - 1)]! - this.counted[start]!;
  }
}

/** For each block, the layers before it; and all. Without the last block. */
function countedBlocks({ costs, cluster }: CostModel): Int32Array {
  const { blocks } = costs;
  const work = Array.from({ length: blocks - 1 }, (_, block) => {
    const { forwardMs, backwardMs } = costs.workMs(cluster.devices[0]!, block, block + 1, 1, false);
    return forwardMs + backwardMs;
  });
  const least = COUNTED * [...work].sort((a, b) => a - b)[work.length >> 1]!;
  const counted = new Int32Array(blocks);
  work.forEach((ms, block) => (counted[block + 1] = counted[block]! + (ms > 0 && ms >= least ? 1 : 0)));
  return counted;
}
