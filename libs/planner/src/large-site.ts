import type { BlockRange } from '@longtail/core';
import type { Chains } from './chain.js';
import type { LanPrices } from './lan-prices.js';
import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import { leastSumMs } from './gradient-sums.js';
import type { Dealing } from './pools.js';
import { balancedRanges, poolOf } from './pools.js';
import type { Range } from './recompute-choices.js';
import { recomputeChoices } from './recompute-choices.js';
import { regroup } from './regroup.js';
import type { GroupCost, Scenario } from './rounds.js';
import { samplesWithin } from './rounds.js';
import type { Chosen, Site } from './site.js';

const MOST_STAGES = 32;

/** More stages hold more, fewer fill faster. Of few devices these counts; of many all, as whole blocks rarely come out even. */
const SOME_STAGES = [2, 3, 4, 6, 8, 12, 16, 24, 32];

/** The largest and a middle size decide: pools of many devices are costly to make. */
const POOL_SIZES = 3;

/** So many devices are laid out in milliseconds. */
const MOST_IN_CHAINS = 64;

/** Chains weighed for each device, from each beginning. */
const WEIGHED = 80;

/** Chains that manage this part of what their devices' prices allow leave too little to pools of replicas, but where one group does the whole batch. */
const PLENTY = 0.95;

const EVENLY: Dealing = { alike: false, slower: Infinity };

/** The second costs period, and may save more fill: without it two halls in ten have 0.983 of the bound instead of 0.984 and 0.985. */
const DEALINGS: readonly Dealing[] = [{ alike: true, slower: Infinity }, { alike: true, slower: 3 }, EVENLY];

/** A layout with what it costs in each of the two kinds of round. */
class Option {
  private readonly costs: (GroupCost | undefined)[] = [undefined, undefined];

  constructor(
    private readonly model: CostModel,
    readonly layout: GroupDraft,
  ) {}

  cost(alone: boolean): GroupCost {
    return (this.costs[alone ? 1 : 0] ??= this.model.group(this.layout, alone));
  }
}

/** Groups that stand: each as it is, or not at all. */
export class StandingSite implements Site {
  private readonly options: readonly Option[];

  constructor(
    private readonly model: CostModel,
    layouts: readonly GroupDraft[],
  ) {
    this.options = layouts.map((layout) => new Option(model, layout));
  }

  bestWithin(roundMs: number, scenario: Scenario): readonly Chosen[] {
    const groups = this.options.flatMap((option) => bestOf(this.model, [option], roundMs, scenario));
    return scenario.alone ? richest(groups.map((group) => [group])) : groups;
  }
}

/**
 * Too many devices to weigh all layouts: all in chains; or those that hold the model alone as solos or as one group of
 * replicas, and the others, or all of them, as one pipeline of pools.
 */
export class LargeSite implements Site {
  private readonly solos: readonly (readonly Option[])[];
  private readonly replicas: readonly Option[];
  private readonly pools: readonly Option[];
  private readonly poolsOfAll: readonly Option[];
  private readonly chains: readonly (readonly Option[])[];

  constructor(
    private readonly model: CostModel,
    devices: readonly number[],
    private readonly dealt: Chains,
    priced?: LanPrices,
  ) {
    const holders = devices.filter((device) => model.memory.holds(device));
    const others = devices.filter((device) => !model.memory.holds(device));
    this.solos = holders.map((device) => this.singles([device]));
    this.replicas = holders.length > 1 && model.mayShareStage(holders) ? this.singles(holders) : [];
    const chains = devices.length > MOST_IN_CHAINS ? [] : regroup(dealt, devices, WEIGHED * devices.length, priced);
    this.chains = chains.map((chain) => [new Option(model, dealt.layoutOf(chain))]);
    const found = chains.reduce((sum, { samples }) => sum + samples, 0);
    this.pools = this.poolsOfAll = [];
    if (priced !== undefined && found >= PLENTY * priceOf(devices, priced) && dealt.most(Int32Array.from(devices)) < model.request.batch) return;
    const exchanging = { alone: false, maxUploads: Infinity, sharedMs: 0 };
    const alone = this.solos.flatMap((options) => bestOf(model, options, dealt.roundMs, exchanging));
    this.pools = this.pooled(others, found - alone.reduce((sum, { samples }) => sum + samples, 0));
    this.poolsOfAll = holders.length > 0 ? this.pooled(devices, found) : [];
  }

  bestWithin(roundMs: number, scenario: Scenario): readonly Chosen[] {
    const best = (options: readonly Option[]) => bestOf(this.model, options, roundMs, scenario);
    const solos = this.solos.flatMap(best);
    const others = best(this.pools);
    const layouts = [this.chains.flatMap(best), [...solos, ...others], [...best(this.replicas), ...others], best(this.poolsOfAll)];
    if (scenario.alone) return richest([...layouts.flat().map((group) => [group])]);
    return richest(layouts);
  }

  private singles(devices: readonly number[]): readonly Option[] {
    const end = this.model.costs.blocks;
    return [...this.model.request.microbatches]
      .sort((a, b) => b - a)
      .flatMap((microbatch) => {
        if (devices.some((device) => !this.model.memory.holds(device, microbatch))) return [];
        return [new Option(this.model, { microbatch, stages: [{ start: 0, end, devices, recompute: false }] })];
      });
  }

  /** Those that may manage more than `beyond` in the round that chains were dealt for. */
  private pooled(devices: readonly number[], beyond: number): readonly Option[] {
    if (devices.length < 2 || !this.model.mayShareStage(devices.slice(0, 2))) return [];
    const many = devices.length > MOST_IN_CHAINS;
    const pools = (ranges: readonly Range[], microbatch: number) =>
      (many ? DEALINGS : [EVENLY]).flatMap((dealing) => {
        const stages = poolOf(this.model, devices, ranges, microbatch, dealing);
        return stages === undefined ? [] : [new Option(this.model, { microbatch, stages })];
      });
    return this.someSizes().flatMap((microbatch) => {
      const mostOf = this.mostOf(devices, microbatch);
      return this.rangesFor(devices, microbatch)
        .filter((ranges) => mostOf(ranges) > beyond)
        .flatMap((ranges) => recomputeChoices(this.model, devices, ranges, microbatch).slice(0, many ? undefined : 1))
        .flatMap((ranges) => pools(ranges, microbatch));
    });
  }

  /**
   * No pool of such ranges manages more: replicas of a stage, be they the fewest and the stage the smallest, sum its parameters; and of hops between
   * r and more devices r go side by side, which shortens them least where all stages have as many; the first stage and the last wait for what they share.
   */
  private mostOf(devices: readonly number[], microbatch: number): (ranges: readonly BlockRange[]) => number {
    const { costs, cluster, links, request } = this.model;
    const way = links.bestAmong(devices)!;
    const rate = devices.reduce((sum, device) => {
      const { forwardMs, backwardMs } = costs.workMs(cluster.devices[device]!, 0, costs.blocks, microbatch, false);
      return sum + microbatch / Math.max(1e-9, forwardMs + backwardMs);
    }, 0);
    const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
    const hopMs = (2000 * microbatch * Math.min(...cuts.map((at) => costs.cutBits(at)))) / way.bitsPerSecond;
    const tieMs = Math.min(...devices.map((device) => this.model.tieCosts.leastOf(device)));
    return (ranges) => {
      const hops = ranges.length - 1;
      const fillMs = hops * ((hops / devices.length) * hopMs + 2 * way.delayMs) + (hops > 0 ? tieMs : 0);
      const values = Math.min(...ranges.map(({ start, end }) => costs.parameters(start, end)));
      const replicas = ranges.length < devices.length && request.optimizer !== 'server';
      const sumMs = replicas ? leastSumMs(values, way) : 0;
      return rate * Math.max(0, this.dealt.roundMs / request.stepsPerRound - sumMs - fillMs);
    };
  }

  /** Of equal work; and, where few devices keep it cheap, any two: a stage of few parameters and many replicas before one of many and few. */
  private rangesFor(devices: readonly number[], microbatch: number): readonly (readonly BlockRange[])[] {
    const { costs } = this.model;
    const most = Math.min(MOST_STAGES, devices.length, costs.blocks);
    const balanced = balancedRanges(this.model, devices, most, microbatch).filter(
      ({ length }) => devices.length > MOST_IN_CHAINS || SOME_STAGES.includes(length),
    );
    const halves =
      devices.length > MOST_IN_CHAINS
        ? []
        : Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1)
            .filter((at) => costs.canCut(at))
            .map((at) => [
              { start: 0, end: at },
              { start: at, end: costs.blocks },
            ]);
    return [...balanced, ...halves];
  }

  private someSizes(): readonly number[] {
    const sizes = [...this.model.request.microbatches].sort((a, b) => a - b);
    return sizes.length <= POOL_SIZES ? sizes : [sizes[0]!, sizes[sizes.length >> 1]!, sizes.at(-1)!];
  }
}

function priceOf(devices: readonly number[], { prices }: LanPrices): number {
  return devices.reduce((sum, device) => sum + prices.get(device)!, 0);
}

function bestOf(model: CostModel, options: readonly Option[], roundMs: number, { alone, sharedMs }: Scenario): readonly Chosen[] {
  let best: Chosen | undefined;
  for (const option of options) {
    const cost = option.cost(alone);
    const samples = samplesWithin(cost, roundMs, model.request.stepsPerRound, sharedMs);
    if (samples > (best?.samples ?? 0) * (1 + 1e-12)) best = { layout: option.layout, cost, samples };
  }
  return best === undefined ? [] : [best];
}

function richest(layouts: readonly (readonly Chosen[])[]): readonly Chosen[] {
  const samples = (groups: readonly Chosen[]) => groups.reduce((sum, group) => sum + group.samples, 0);
  return layouts.reduce((best, next) => (samples(next) > samples(best) ? next : best), []);
}
