import type { Candidate, Incumbent } from './chains.js';
import { pipelinesOn } from './chains.js';
import type { UpperBound } from './bound.js';
import { DeviceSets } from './device-sets.js';
import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
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
    const most = scenario.alone ? 1 : scenario.maxUploads;
    // As many as devices is no limit: then they need not be counted.
    return most < devices ? this.limitedPartition(gains, most) : this.partition(gains);
  }

  /** For each set the group that manages most, by the uploads that it may take. */
  private gains(roundMs: number, { alone, sharedMs }: Scenario): Gains {
    const gains: Gains = new Map();
    for (const [set, candidates] of this.candidatesOf(alone)) {
      const best: (Chosen | undefined)[] = [];
      for (const { layout, cost } of candidates) {
        const samples = samplesWithin(cost, roundMs, this.model.request.stepsPerRound, sharedMs);
        const uploads = alone ? 1 : Math.ceil(cost.uploads);
        if (samples > (best[uploads]?.samples ?? 0) * MORE) best[uploads] = { layout, cost, samples };
      }
      if (best.length > 0) gains.set(set, best);
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

  private limitedPartition(gains: Gains, most: number): readonly Chosen[] {
    const layers: Layer[] = [this.emptyLayer()];
    for (let uploads = 1; uploads <= most; uploads++) layers.push(this.filled(this.emptyLayer(), gains, (group) => layers[uploads - group]));
    return this.unwind(gains, (left) => layers[left]!, most);
  }

  /** The layer of any number of uploads follows on itself. */
  private partition(gains: Gains): readonly Chosen[] {
    const layer = this.emptyLayer();
    this.filled(layer, gains, () => layer);
    return this.unwind(gains, () => layer, 0);
  }

  private emptyLayer(): Layer {
    return { samples: new Float64Array(this.sets.full + 1), part: new Int32Array(this.sets.full + 1), uploads: new Uint16Array(this.sets.full + 1) };
  }

  /** Most samples that each set manages: a group, and of the others what the layer has for the uploads that the group leaves. */
  private filled(layer: Layer, gains: Gains, restFor: (uploads: number) => Layer | undefined): Layer {
    const { samples, part, uploads } = layer;
    for (let set = 1; set <= this.sets.full; set++) {
      for (const group of this.sets.subsetsOf(set)) {
        gains.get(group)?.forEach((gain, taken) => {
          const rest = gain && restFor(taken);
          if (rest === undefined || gain!.samples + rest.samples[set - group]! <= samples[set]!) return;
          samples[set] = gain!.samples + rest.samples[set - group]!;
          part[set] = group;
          uploads[set] = taken;
        });
      }
    }
    return layer;
  }

  private unwind(gains: Gains, layerFor: (left: number) => Layer, most: number): readonly Chosen[] {
    const taken = this.sets.classes.map(() => 0);
    const chosen: Chosen[] = [];
    let left = most;
    for (let set = this.sets.full; ;) {
      const { part, uploads } = layerFor(left);
      const group = part[set]!;
      if (group === 0) break;
      const gain = gains.get(group)![uploads[set]!]!;
      chosen.push({ ...gain, layout: this.withDevices(gain.layout, taken) });
      this.sets.all[group]!.counts.forEach((count, c) => (taken[c]! += count));
      left -= uploads[set]!;
      set -= group;
    }
    return chosen;
  }

  /** A layout speaks of the first devices of each class: here those that are still free. */
  private withDevices(layout: GroupDraft, taken: readonly number[]): GroupDraft {
    const free = new Map(this.sets.classes.flatMap((members, c) => members.map((device, i) => [device, members[i + taken[c]!]!] as const)));
    return { ...layout, stages: layout.stages.map((stage) => ({ ...stage, devices: stage.devices.map((device) => free.get(device)!) })) };
  }
}

/** By set, by uploads. */
type Gains = Map<number, readonly (Chosen | undefined)[]>;

/** By set: the most samples, the group to take for them, and its uploads. Devices that are of no use stay in the remainder. */
interface Layer {
  readonly samples: Float64Array;
  readonly part: Int32Array;
  readonly uploads: Uint16Array;
}
