import type { CostModel } from './layout.js';
import type { Scenario } from './rounds.js';

/**
 * Samples an inner step that no layout can exceed in a round of this time: a relaxation in which each device does as much of
 * the model as it has time for, whatever its neighbours do. A device that holds the whole model alone is bound by its own
 * exchange; in a pipeline by its arithmetic, by what has to pass its links, and by the uploads of all together.
 */
export class UpperBound {
  private readonly devices: readonly DeviceBound[];

  constructor(private readonly model: CostModel) {
    this.devices = deviceBounds(model);
  }

  /** The least round that any layout could have; Infinity where nothing can train. */
  roundMs(scenario: Scenario, batch: number): number {
    let high = 1;
    while (this.samplesWithin(high, scenario) < batch) if ((high *= 2) > 1e16) return Infinity;
    let low = 0;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (this.samplesWithin(middle, scenario) < batch) low = middle;
      else high = middle;
    }
    return low;
  }

  /** What one device adds at most, in a round with exchange. */
  samplesOf(device: number, roundMs: number): number {
    const { solo, joint } = this.devices[device]!;
    const scenario = { alone: false, maxGroups: Infinity, sharedMs: 0 };
    return Math.max(...[solo, ...joint].map((way) => this.within(way, roundMs, scenario)));
  }

  private samplesWithin(roundMs: number, scenario: Scenario): number {
    let together = 0;
    let best = 0;
    for (const { solo, joint } of this.devices) {
      const alone = this.within(solo, roundMs, scenario);
      const jointly = Math.max(0, ...joint.map((way) => this.within(way, roundMs, scenario)));
      best = Math.max(best, alone);
      if (!scenario.alone) together += Math.max(alone, jointly);
      else if (this.model.request.optimizer !== 'server') together += jointly;
    }
    return Math.max(together, best);
  }

  private within({ tailMs, msPerSample }: Way, roundMs: number, { alone, sharedMs }: Scenario): number {
    return Math.max(0, roundMs - (alone ? 0 : Math.max(tailMs, sharedMs))) / this.model.request.stepsPerRound / msPerSample;
  }
}

/** A way to take part. Infinity: not possible. */
interface Way {
  readonly msPerSample: number;
  readonly tailMs: number;
}

interface DeviceBound {
  readonly solo: Way;
  /** In a group with others: with those that it reaches directly, or with any. */
  readonly joint: readonly Way[];
}

function deviceBounds(model: CostModel): readonly DeviceBound[] {
  const { devices } = model.cluster;
  const everybody = devices.map((_, i) => i);
  const hops = everybody.map((index) => hopMs(model, index));
  const anyHopMs = Math.min(...hops);
  const allUploadsMs = uploadsMs(model, everybody);
  const bounds: DeviceBound[] = new Array<DeviceBound>(devices.length);
  for (const component of model.links.components()) {
    const ownUploadsMs = uploadsMs(model, component);
    for (const index of component) {
      const computeMs = bestMsPerSample(model, index);
      const relayed = { msPerSample: Math.max(computeMs, component.length > 1 ? anyHopMs : hops[index]!), tailMs: allUploadsMs };
      const direct = { msPerSample: computeMs, tailMs: ownUploadsMs };
      const joint = devices.length === 1 ? [] : component.length > 1 ? [relayed, direct] : [relayed];
      bounds[index] = { solo: soloWay(model, index), joint };
    }
  }
  return bounds;
}

function soloWay(model: CostModel, index: number): Way {
  const { costs, request } = model;
  const perSample = request.microbatches.map((size) => {
    const recompute = model.recomputeFor(index, 0, costs.blocks, size, 1);
    return recompute === undefined ? Infinity : model.stage([index], 0, costs.blocks, size, recompute).periodMs / size;
  });
  return { msPerSample: Math.min(...perSample), tailMs: model.exchangeMs(index, costs.parameters(0, costs.blocks)) };
}

/** These devices uploading one replica between them. */
function uploadsMs({ cluster, costs, request }: CostModel, devices: readonly number[]): number {
  const upBitsPerSecond = devices.reduce((sum, index) => sum + cluster.devices[index]!.upBitsPerSecond, 0);
  return (1000 * costs.parameters(0, costs.blocks) * request.upBitsPerValue) / upBitsPerSecond;
}

/** What the smallest cut takes on its way to and from the server. */
function hopMs({ cluster, costs }: CostModel, index: number): number {
  const { upBitsPerSecond, downBitsPerSecond } = cluster.devices[index]!;
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  return 1000 * Math.min(...cuts.map((at) => costs.cutBits(at))) * (1 / upBitsPerSecond + 1 / downBitsPerSecond);
}

function bestMsPerSample(model: CostModel, index: number): number {
  const { microbatches, recompute } = model.request;
  return Math.min(...microbatches.map((size) => atItsBest(model, index, size, recompute === 'always') / size));
}

/** Time for the whole model at the speed of the block at which the device is fastest, beside the first device. */
function atItsBest(model: CostModel, index: number, microbatch: number, recompute: boolean): number {
  const { costs, cluster } = model;
  const ms = (device: number, start: number, end: number) => {
    const { forwardMs, backwardMs } = costs.stageMs(cluster.devices[device]!, start, end, microbatch, recompute);
    return forwardMs + backwardMs;
  };
  if (!cluster.devices.some((device) => device.blockTimes?.length)) return ms(index, 0, costs.blocks);
  let ratio = Infinity;
  for (let i = 0; i < costs.blocks; i++) {
    const reference = ms(0, i, i + 1);
    if (reference > 0) ratio = Math.min(ratio, ms(index, i, i + 1) / reference);
  }
  return ratio * ms(0, 0, costs.blocks);
}
