import type { Candidate, Incumbent } from './chains.js';
import { pipelinesOn } from './chains.js';
import type { UpperBound } from './bound.js';
import { DeviceSets } from './device-sets.js';
import type { CostModel, GroupLayout } from './layout.js';
import type { Scenario } from './rounds.js';
import { samplesWithin } from './rounds.js';
import type { Chosen, Site } from './site.js';

/** Rounding is no improvement. */
const MORE = 1 + 1e-12;

/** Few devices: the best partition into groups, by dynamic programming over their subsets. */
export class ExactSite implements Site {
  private readonly sets: DeviceSets;
  private readonly candidates: Record<'alone' | 'exchanging', Map<number, Candidate[]> | undefined> = {
    alone: undefined,
    exchanging: undefined,
  };

  constructor(
    private readonly model: CostModel,
    devices: readonly number[],
    /** A round that is known to be possible, for all devices: nothing longer is of interest. */
    private readonly known?: { readonly roundMs: number; readonly bound: UpperBound },
  ) {
    this.sets = new DeviceSets(model, devices);
  }

  bestWithin(roundMs: number, scenario: Scenario): readonly Chosen[] {
    const gains = this.gains(roundMs, scenario);
    const devices = this.sets.all[this.sets.full]!.devices.length;
    const most = scenario.alone ? 1 : scenario.maxGroups;
    // As many groups as devices is no limit: then their number need not be counted.
    return most < devices ? this.limitedPartition(gains, most) : this.unwind(gains, this.everywhere(this.layer(gains)));
  }

  /** For each set the group that manages most. */
  private gains(roundMs: number, { alone, sharedMs }: Scenario): Map<number, Chosen> {
    const gains = new Map<number, Chosen>();
    for (const [set, candidates] of this.candidatesOf(alone)) {
      for (const { layout, cost } of candidates) {
        const samples = samplesWithin(cost, roundMs, this.model.request.stepsPerRound, sharedMs);
        if (samples > (gains.get(set)?.samples ?? 0) * MORE) gains.set(set, { layout, cost, samples });
      }
    }
    return gains;
  }

  private candidatesOf(alone: boolean): Map<number, Candidate[]> {
    const key = alone ? 'alone' : 'exchanging';
    let known = this.candidates[key];
    if (known === undefined) {
      this.candidates[key] = known = new Map();
      const incumbent = this.incumbent();
      // Where nothing else decides, large microbatches are kinder to an engine.
      for (const microbatch of [...this.model.request.microbatches].sort((a, b) => b - a)) {
        for (const candidate of pipelinesOn(this.model, this.sets, microbatch, alone, incumbent)) {
          const list = known.get(candidate.set);
          if (list === undefined) known.set(candidate.set, [candidate]);
          else list.push(candidate);
        }
      }
    }
    return known;
  }

  private incumbent(): Incumbent | undefined {
    if (this.known === undefined) return undefined;
    const { roundMs, bound } = this.known;
    const credits = bound.credits(roundMs);
    const each = this.sets.classes.map((members) => credits[members[0]!]!);
    const free = (set: number) =>
      this.sets.classes.reduce((sum, members, c) => sum + (members.length - this.sets.all[set]!.counts[c]!) * each[c]!, 0);
    return { roundMs, outside: free };
  }

  private limitedPartition(gains: ReadonlyMap<number, Chosen>, most: number): readonly Chosen[] {
    const layers: Layer[] = [];
    for (let groups = 0; groups < most; groups++) layers.unshift(this.layer(gains, layers[0] ?? 'nothing'));
    return this.unwind(gains, layers);
  }

  /** Most samples that each set manages, with one group more than in the layer `below`, or with any number of groups. */
  private layer(gains: ReadonlyMap<number, Chosen>, below?: Layer | 'nothing'): Layer {
    const samples = new Float64Array(this.sets.full + 1);
    const part = new Int32Array(this.sets.full + 1);
    const rest = below === 'nothing' ? new Float64Array(samples.length) : (below?.samples ?? samples);
    for (let set = 1; set <= this.sets.full; set++) {
      for (const group of this.sets.subsetsOf(set)) {
        const gain = gains.get(group)?.samples;
        if (gain === undefined || gain + rest[set - group]! <= samples[set]!) continue;
        samples[set] = gain + rest[set - group]!;
        part[set] = group;
      }
    }
    return { samples, part };
  }

  /** The layer of any number of groups follows on itself. */
  private everywhere(layer: Layer): readonly Layer[] {
    return this.sets.all[this.sets.full]!.devices.map(() => layer);
  }

  private unwind(gains: ReadonlyMap<number, Chosen>, layers: readonly Layer[]): readonly Chosen[] {
    const taken = this.sets.classes.map(() => 0);
    const chosen: Chosen[] = [];
    let set = this.sets.full;
    for (const layer of layers) {
      const group = layer.part[set]!;
      if (group === 0) break;
      const gain = gains.get(group)!;
      chosen.push({ ...gain, layout: this.withDevices(gain.layout, taken) });
      this.sets.all[group]!.counts.forEach((count, c) => (taken[c]! += count));
      set -= group;
    }
    return chosen;
  }

  /** A layout speaks of the first devices of each class: here those that are still free. */
  private withDevices(layout: GroupLayout, taken: readonly number[]): GroupLayout {
    const free = new Map(this.sets.classes.flatMap((members, c) => members.map((device, i) => [device, members[i + taken[c]!]!] as const)));
    return { ...layout, stages: layout.stages.map((stage) => ({ ...stage, devices: stage.devices.map((device) => free.get(device)!) })) };
  }
}

/** By set: the most samples, and the group to take for them. Devices that are of no use stay in the remainder. */
interface Layer {
  readonly samples: Float64Array;
  readonly part: Int32Array;
}
