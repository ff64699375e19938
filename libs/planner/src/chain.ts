import type { CostModel } from './cost-model.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import type { HopWay } from './links.js';
import { SUM_BITS } from './gradient-sums.js';
import { groupCost } from './group-cost.js';
import { samplesWithin } from './rounds.js';

/** A pipeline of one device a stage, from the model's end to its beginning. */
export interface Chain {
  readonly stages: readonly Link[];
  /** An inner step, within the round that it was made for. */
  readonly samples: number;
}

interface Link {
  readonly device: number;
  readonly start: number;
  readonly end: number;
}

/** Of the samples aimed at: what is left then is finer than blocks are. */
const HALVINGS = 4;

/**
 * Chains for rounds of a given time. From the model's end, each device takes as many blocks as it has memory and, with its
 * exchange, time for, and the samples aimed at are raised for as long as all blocks are taken. Devices in an order are an Int32Array: V8 compiles
 * anew what has read arrays of one kind and gets one of another.
 */
export class Chains {
  readonly microbatch: number;
  private readonly kinds: Kind[] = [];
  private readonly mayCut: Uint8Array;
  /** By device. */
  private readonly roundTripMs: Float64Array;
  private readonly valueMs: Float64Array;
  private starts: Int32Array;
  /** … of the last deal that took all blocks, as far as it is kept. */
  private kept: Int32Array;
  private readonly two = { front: 0, cut: 0, samples: NaN };
  /** What the ends of a pipeline send each other takes no less where its devices have no better ways. */
  private readonly leastTieMs: Float64Array;
  /** By cut: values that both sides of it read. */
  private readonly shared: Float64Array;
  /** [end, start]: parameters. */
  private readonly values: Float64Array;

  constructor(
    private readonly model: CostModel,
    readonly roundMs: number,
  ) {
    const { cluster, costs, request } = model;
    this.microbatch = Math.min(...request.microbatches);
    for (const members of model.kinds.among(cluster.devices.map((_, index) => index))) {
      const holds = model.memory.holds(members[0]!, this.microbatch);
      const kind = { wholeMs: this.msOf(members[0]!, 0, costs.blocks, false), holds, times: [], firstCut: 0 };
      for (const device of members) this.kinds[device] = kind;
    }
    this.mayCut = Uint8Array.from({ length: costs.blocks }, (_, at) => (costs.canCut(at) ? 1 : 0));
    const { blocks } = costs;
    this.shared = Float64Array.from({ length: blocks }, (_, cut) => model.ties.values({ start: 0, end: cut }, { start: cut, end: blocks }));
    this.leastTieMs = Float64Array.from(cluster.devices, (_, device) => model.tieCosts.leastOf(device));
    this.roundTripMs = Float64Array.from(cluster.devices, (_, device) => model.exchangeMs(device, 0));
    this.valueMs = Float64Array.from(cluster.devices, (_, device) => model.exchangeMs(device, 1) - model.exchangeMs(device, 0));
    this.starts = new Int32Array(cluster.devices.length);
    this.kept = new Int32Array(cluster.devices.length);
    const width = costs.blocks + 1;
    this.values = Float64Array.from({ length: width ** 2 }, (_, at) => costs.parameters(at % width, Math.floor(at / width)));
  }

  /** Time of the whole model a microbatch, whether or not it fits. */
  wholeMs(device: number): number {
    return this.kinds[device]!.wholeMs;
  }

  /** Of an exchange, each parameter. */
  msPerValue(device: number): number {
    return this.valueMs[device]!;
  }

  /** No chain of these devices manages more. */
  most(devices: Int32Array): number {
    let [rate, alone, tieMs] = [0, 0, Infinity];
    for (const device of devices) {
      const { wholeMs, holds } = this.kinds[device]!;
      rate += 1 / wholeMs;
      if (holds) alone = Math.max(alone, 1 / wholeMs);
      tieMs = Math.min(tieMs, this.leastTieMs[device]!);
    }
    const stepMs = this.roundMs / this.model.request.stepsPerRound;
    return this.microbatch * Math.max(alone * stepMs, rate * Math.max(0, stepMs - tieMs));
  }

  /** Of some or all of these devices, in this order; undefined: none manages more than `beyond`. */
  of(devices: Int32Array, beyond = 0): Chain | undefined {
    let [low, high] = [beyond, this.most(devices)];
    if (high <= beyond || !this.dealAndKeep(devices, beyond)) return undefined;
    for (let i = 0; i < HALVINGS; i++) {
      const samples = (low + high) / 2;
      if (this.dealAndKeep(devices, samples)) low = samples;
      else high = samples;
    }
    const samples = this.samplesDealt(devices);
    return samples > beyond ? { stages: this.dealt(devices), samples } : undefined;
  }

  /** Of two devices that reach each other through the server, whichever comes first, cut where they manage most; 0: they are no chain. */
  samplesOfTwo(a: number, b: number): number {
    this.bestOfTwo(a, b);
    return this.two.samples;
  }

  /** … as a chain. */
  ofTwo(a: number, b: number): Chain {
    this.bestOfTwo(a, b);
    const { front, cut, samples } = this.two;
    const stages = [
      { device: front === a ? b : a, start: cut, end: this.model.costs.blocks },
      { device: front, start: 0, end: cut },
    ];
    return { stages, samples };
  }

  /** Into `two`: a fleet has many pairs. */
  private bestOfTwo(a: number, b: number): void {
    this.two.samples = 0;
    this.cutTwo(a, b);
    this.cutTwo(b, a);
  }

  private cutTwo(front: number, back: number): void {
    const { two, values, shared, mayCut, roundMs, microbatch } = this;
    const { costs, cluster, request } = this.model;
    const { blocks } = costs;
    const width = blocks + 1;
    const before = this.timesOf(front, 2);
    const behind = this.timesOf(back, 1);
    const there = cluster.devices[front]!;
    const here = cluster.devices[back]!;
    const delayMs = there.roundTripMs + here.roundTripMs;
    const msPerBit =
      1000 / Math.min(there.upBitsPerSecond, here.downBitsPerSecond) + 1000 / Math.min(here.upBitsPerSecond, there.downBitsPerSecond);
    const msPerShared = (1000 * SUM_BITS) / Math.min(there.upBitsPerSecond, here.downBitsPerSecond, here.upBitsPerSecond, there.downBitsPerSecond);
    const frontValueMs = this.valueMs[front]!;
    const backValueMs = this.valueMs[back]!;
    const frontTripMs = this.roundTripMs[front]!;
    const backTripMs = this.roundTripMs[back]!;
    for (let cut = this.firstCutOf(back); cut < blocks; cut++) {
      if (mayCut[cut] === 0) continue;
      const frontMs = before[cut * width] || this.ms(front, 0, cut, 2);
      // More blocks fit no better.
      if (frontMs === Infinity) break;
      const backMs = behind[blocks * width + cut]! || this.ms(back, cut, blocks, 1);
      if (backMs === Infinity) continue;
      const hopMs = microbatch * costs.cutBits(cut) * msPerBit;
      const periodMs = Math.max(frontMs, backMs, hopMs);
      const tailMs = Math.max(frontTripMs + frontValueMs * values[cut * width]!, backTripMs + backValueMs * values[blocks * width + cut]!);
      const tieMs = shared[cut] === 0 ? 0 : delayMs / 2 + shared[cut]! * msPerShared;
      const fillMs = frontMs + backMs + hopMs + delayMs + tieMs - periodMs;
      const samples = (((roundMs - tailMs) / request.stepsPerRound - fillMs) / periodMs) * microbatch;
      if (samples < microbatch || samples <= two.samples) continue;
      two.front = front;
      two.cut = cut;
      two.samples = samples;
    }
  }

  /** From which on the device has memory for all that is behind it. */
  private firstCutOf(device: number): number {
    const kind = this.kinds[device]!;
    if (kind.firstCut > 0) return kind.firstCut;
    const { blocks } = this.model.costs;
    let cut = blocks;
    for (let at = blocks - 1; at > 0; at--) if (this.mayCut[at] === 1 && this.ms(device, at, blocks, 1) < Infinity) cut = at;
    return (kind.firstCut = cut);
  }

  layoutOf({ stages }: Chain): GroupDraft {
    const { microbatch, model } = this;
    return {
      microbatch,
      stages: stages
        .map(({ device, start, end }, i) => {
          const recompute = model.memory.recomputeFor(device, start, end, microbatch, i + 1) === true;
          return { start, end, devices: [device], recompute };
        })
        .reverse(),
    };
  }

  /** Whether these devices, in this order, have all blocks when each takes as many as it can: else no chain of theirs manages so much. `starts` says which. */
  deal(devices: Int32Array, samples: number): boolean {
    const { starts, values, mayCut, roundMs } = this;
    const { blocks } = this.model.costs;
    const steps = (this.model.request.stepsPerRound * samples) / this.microbatch;
    let end = blocks;
    let stages = 0;
    for (let i = 0; i < devices.length; i++) {
      const device = devices[i]!;
      const table = this.timesOf(device, stages + 1);
      const ends = end * (blocks + 1);
      const roundTripMs = this.roundTripMs[device]!;
      const valueMs = this.valueMs[device]!;
      let reached = end;
      for (let start = end - 1; start >= 0; start--) {
        if (mayCut[start] === 0) continue;
        const ms = table[ends + start]! || this.ms(device, start, end, stages + 1);
        if (!(steps * ms + (roundTripMs + valueMs * values[ends + start]!) <= roundMs)) break;
        reached = start;
      }
      if (reached < end) stages++;
      starts[i] = end = reached;
      if (end === 0) return true;
    }
    return false;
  }

  private dealAndKeep(devices: Int32Array, samples: number): boolean {
    if (!this.deal(devices, samples)) return false;
    const { starts } = this;
    this.starts = this.kept;
    this.kept = starts;
    return true;
  }

  /** What was kept last. */
  private dealt(devices: Int32Array): readonly Link[] {
    const stages: Link[] = [];
    let end = this.model.costs.blocks;
    for (let i = 0; end > 0; i++) {
      const start = this.kept[i]!;
      if (start < end) stages.push({ device: devices[i]!, start, end });
      end = start;
    }
    return stages;
  }

  /** … and what that manages: of most chains nothing else is asked. */
  private samplesDealt(devices: Int32Array): number {
    const { model, microbatch, kept } = this;
    const { costs, request } = model;
    let [stages, periodMs, onceMs, tailMs] = [0, 0, 0, 0];
    let behind = -1;
    let end = costs.blocks;
    for (let i = 0; end > 0; i++) {
      const start = kept[i]!;
      if (start === end) continue;
      const device = devices[i]!;
      stages++;
      const ms = Math.max(1e-9, this.ms(device, start, end, stages));
      periodMs = Math.max(periodMs, ms);
      onceMs += ms;
      tailMs = Math.max(tailMs, model.exchangeMs(device, costs.parameters(start, end)));
      if (stages > 1) {
        const hop = model.hop(this.way(device, behind), end, microbatch);
        periodMs = Math.max(periodMs, hop.periodMs);
        onceMs += hop.activationMs + hop.gradientMs;
      }
      behind = device;
      end = start;
    }
    if (stages > 1 && !model.ties.none) onceMs += this.tiesMs(devices);
    const cost = groupCost({ microbatch, stages, periodMs, onceMs, syncMs: 0, tailMs, uploads: 1 });
    return samplesWithin(cost, this.roundMs, request.stepsPerRound, 0);
  }

  /** As `TieCosts.ofStages`, of what was kept last. */
  private tiesMs(devices: Int32Array): number {
    const { ties, costs } = this.model;
    const readers: StageDraft[] = [];
    let end = costs.blocks;
    for (let i = 0; end > 0; i++) {
      const start = this.kept[i]!;
      if (start < end && ties.isRead(start, end)) readers.push({ start, end, devices: [devices[i]!], recompute: false });
      end = start;
    }
    return this.model.tieCosts.ofStages(readers.reverse());
  }

  private way(from: number, to: number): HopWay {
    const { links } = this.model;
    const there = links.way(from, to);
    const back = links.way(to, from);
    return {
      forwardBitsPerSecond: there.bitsPerSecond,
      backwardBitsPerSecond: back.bitsPerSecond,
      forwardDelayMs: there.delayMs,
      backwardDelayMs: back.delayMs,
    };
  }

  /** Infinity: does not fit. */
  private ms(device: number, start: number, end: number, inFlight: number): number {
    const table = this.timesOf(device, inFlight);
    const at = end * (this.model.costs.blocks + 1) + start;
    if (table[at] === 0) {
      const recompute = this.model.memory.recomputeFor(device, start, end, this.microbatch, inFlight);
      table[at] = recompute === undefined ? Infinity : Math.max(1e-9, this.msOf(device, start, end, recompute));
    }
    return table[at]!;
  }

  private timesOf(device: number, inFlight: number): Float64Array {
    const { times } = this.kinds[device]!;
    return (times[inFlight] ??= new Float64Array((this.model.costs.blocks + 1) ** 2));
  }

  private msOf(device: number, start: number, end: number, recompute: boolean): number {
    const { costs, cluster } = this.model;
    const { forwardMs, backwardMs } = costs.passMs(cluster.devices[device]!, start, end, this.microbatch, recompute);
    return forwardMs + backwardMs;
  }
}

/** Devices of the same speed and memory. */
interface Kind {
  readonly wholeMs: number;
  /** Whether one of them can be alone. */
  readonly holds: boolean;
  /** [stages from here to the end][end, start]. */
  readonly times: Float64Array[];
  /** 0: not known yet. */
  firstCut: number;
}
