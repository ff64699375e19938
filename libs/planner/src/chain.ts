import type { CostModel, GroupDraft, HopWay } from './layout.js';
import { groupCost } from './layout.js';
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
 * exchange, time for, and the samples aimed at are raised for as long as all blocks are taken.
 */
export class Chains {
  readonly microbatch: number;
  private readonly kinds: Kind[] = [];
  private readonly ways = new Map<number, HopWay>();
  private readonly mayCut: Uint8Array;
  /** By device. */
  private readonly roundTripMs: Float64Array;
  private readonly valueMs: Float64Array;
  private readonly starts: Int32Array;
  private readonly two = { front: 0, cut: 0, samples: 0 };
  /** [end, start]: parameters. */
  private readonly values: Float64Array;

  constructor(
    private readonly model: CostModel,
    readonly roundMs: number,
  ) {
    const { cluster, costs, request } = model;
    this.microbatch = Math.min(...request.microbatches);
    for (const members of model.kindsOf(cluster.devices.map((_, index) => index))) {
      const kind = { wholeMs: this.msOf(members[0]!, 0, costs.blocks, false), times: [] };
      for (const device of members) this.kinds[device] = kind;
    }
    this.mayCut = Uint8Array.from({ length: costs.blocks }, (_, at) => (costs.canCut(at) ? 1 : 0));
    this.roundTripMs = Float64Array.from(cluster.devices, (_, device) => model.exchangeMs(device, 0));
    this.valueMs = Float64Array.from(cluster.devices, (_, device) => model.exchangeMs(device, 1) - model.exchangeMs(device, 0));
    this.starts = new Int32Array(cluster.devices.length);
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
  most(devices: readonly number[]): number {
    let rate = 0;
    for (const device of devices) rate += 1 / this.wholeMs(device);
    return (this.microbatch * rate * this.roundMs) / this.model.request.stepsPerRound;
  }

  /** Of some or all of these devices, in this order; undefined: none manages more than `beyond`. */
  of(devices: readonly number[], beyond = 0): Chain | undefined {
    if (!this.deal(devices, beyond)) return undefined;
    let low = beyond;
    let high = this.most(devices);
    for (let i = 0; i < HALVINGS; i++) {
      const samples = (low + high) / 2;
      if (this.deal(devices, samples)) low = samples;
      else high = samples;
    }
    this.deal(devices, low);
    const stages = this.dealt(devices);
    const samples = this.samplesOf(stages);
    return samples > beyond ? { stages, samples } : undefined;
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
    const { blocks } = this.model.costs;
    const { stepsPerRound } = this.model.request;
    const width = blocks + 1;
    const [before, behind] = [this.timesOf(front, 2), this.timesOf(back, 1)];
    const [there, here] = [this.model.cluster.devices[front]!, this.model.cluster.devices[back]!];
    const delayMs = there.roundTripMs + here.roundTripMs;
    const msPerBit =
      1000 / Math.min(there.upBitsPerSecond, here.downBitsPerSecond) + 1000 / Math.min(here.upBitsPerSecond, there.downBitsPerSecond);
    for (let cut = 1; cut < blocks; cut++) {
      if (this.mayCut[cut] === 0) continue;
      const frontMs = before[cut * width] || this.ms(front, 0, cut, 2);
      // More blocks fit no better.
      if (frontMs === Infinity) break;
      const backMs = behind[blocks * width + cut]! || this.ms(back, cut, blocks, 1);
      if (backMs === Infinity) continue;
      const hopMs = this.microbatch * this.model.costs.cutBits(cut) * msPerBit;
      const periodMs = Math.max(frontMs, backMs, hopMs);
      const tailMs = Math.max(
        this.roundTripMs[front]! + this.valueMs[front]! * this.values[cut * width]!,
        this.roundTripMs[back]! + this.valueMs[back]! * this.values[blocks * width + cut]!,
      );
      const fillMs = frontMs + backMs + hopMs + delayMs - periodMs;
      const samples = (((this.roundMs - tailMs) / stepsPerRound - fillMs) / periodMs) * this.microbatch;
      if (samples >= this.microbatch && samples > this.two.samples) Object.assign(this.two, { front, cut, samples });
    }
  }

  layoutOf({ stages }: Chain): GroupDraft {
    const { microbatch, model } = this;
    return {
      microbatch,
      stages: stages
        .map(({ device, start, end }, i) => {
          const recompute = model.recomputeFor(device, start, end, microbatch, i + 1) === true;
          return { start, end, devices: [device], recompute };
        })
        .reverse(),
    };
  }

  /** Whether these devices have all blocks when each takes as many as it can; `starts` says which. */
  private deal(devices: readonly number[], samples: number): boolean {
    const { starts } = this;
    let end = this.model.costs.blocks;
    let stages = 0;
    for (let i = 0; i < devices.length; i++) {
      const start = this.reach(devices[i]!, end, stages + 1, samples);
      if (start < end) stages++;
      starts[i] = end = start;
      if (start === 0) return true;
    }
    return false;
  }

  /** What was dealt last. */
  private dealt(devices: readonly number[]): readonly Link[] {
    const stages: Link[] = [];
    let end = this.model.costs.blocks;
    for (let i = 0; end > 0; i++) {
      const start = this.starts[i]!;
      if (start < end) stages.push({ device: devices[i]!, start, end });
      end = start;
    }
    return stages;
  }

  private reach(device: number, end: number, inFlight: number, samples: number): number {
    const { costs } = this.model;
    const steps = (this.model.request.stepsPerRound * samples) / this.microbatch;
    const table = this.timesOf(device, inFlight);
    const ends = end * (costs.blocks + 1);
    const [roundTripMs, valueMs] = [this.roundTripMs[device]!, this.valueMs[device]!];
    let reached = end;
    for (let start = end - 1; start >= 0; start--) {
      if (this.mayCut[start] === 0) continue;
      const ms = table[ends + start]! || this.ms(device, start, end, inFlight);
      if (!(steps * ms + (roundTripMs + valueMs * this.values[ends + start]!) <= this.roundMs)) break;
      reached = start;
    }
    return reached;
  }

  private samplesOf(stages: readonly Link[]): number {
    const { model, microbatch } = this;
    let [periodMs, latencyMs, tailMs] = [0, 0, 0];
    stages.forEach(({ device, start, end }, i) => {
      const ms = Math.max(1e-9, this.ms(device, start, end, i + 1));
      periodMs = Math.max(periodMs, ms);
      latencyMs += ms;
      tailMs = Math.max(tailMs, model.exchangeMs(device, model.costs.parameters(start, end)));
      if (i === 0) return;
      const hop = model.hop(this.way(device, stages[i - 1]!.device), end, microbatch);
      periodMs = Math.max(periodMs, hop.periodMs);
      latencyMs += hop.activationMs + hop.gradientMs;
    });
    const cost = groupCost(microbatch, stages.length, periodMs, latencyMs, tailMs);
    return samplesWithin(cost, this.roundMs, model.request.stepsPerRound, 0);
  }

  private way(from: number, to: number): HopWay {
    const key = from * this.kinds.length + to;
    let way = this.ways.get(key);
    if (way === undefined) this.ways.set(key, (way = this.model.hopWay([from], [to])));
    return way;
  }

  /** Infinity: does not fit. */
  private ms(device: number, start: number, end: number, inFlight: number): number {
    const table = this.timesOf(device, inFlight);
    const at = end * (this.model.costs.blocks + 1) + start;
    if (table[at] === 0) {
      const recompute = this.model.recomputeFor(device, start, end, this.microbatch, inFlight);
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
  /** [stages from here to the end][end, start]. */
  readonly times: Float64Array[];
}
