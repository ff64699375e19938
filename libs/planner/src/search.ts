import { UpperBound } from './bound.js';
import type { Chain } from './chain.js';
import { Chains } from './chain.js';
import { classesOf, dealings } from './device-sets.js';
import { ExactSite } from './exact-site.js';
import { homesBetween } from './homes-between.js';
import type { LanPrices } from './lan-prices.js';
import { LargeSite, StandingSite } from './large-site.js';
import { CostModel } from './cost-model.js';
import { matchUp } from './matching.js';
import { matchable, Pairs } from './pairs.js';
import type { Scenario } from './rounds.js';
import { sharedMs } from './scenarios.js';
import type { Chosen, Site, Solution } from './site.js';
import { fastestGroups } from './site.js';

export interface SearchResult {
  /** Undefined: nothing fits. */
  readonly solution: Solution | undefined;
  readonly exact: boolean;
  /** No layout has a shorter round, of groups that do whole samples. */
  readonly boundMs: number;
}

/** Stages weighed, roughly, that an exact search may take: some seconds at most. */
const EXACT_EFFORT = 1e7;

/** … and for a first plan, which only has to be good. */
const FIRST_EFFORT = 1e5;

/** Rounds found, beside the bound; … where chains for shorter ones are not the best; … where there were none. */
const LONGER = 1.022;
const MUCH_LONGER = 1.1;
const FAR_LONGER = 30;

/** Than the best: a scenario whose bound is longer is hardly of use. */
const CLEARLY_LONGER = 2;

/** Of the devices that reach nobody directly, a part that is not many. */
const FEW = 0.5;

/** Times that chains are made. */
const PASSES = 3;

/** A round shorter by less than this fraction is the same. */
const TOLERANCE = 1e-9;

/** Devices that hold no model and reach nobody directly: so many of them, of like links, are dealt into pipelines through the server. */
const RELAYED = 24;

/** Fewer places to cut at are not worth a subset search. */
const FEWEST_CUTS = 6;

/**
 * Lays the groups out: site by site, and where the devices are few enough exactly, which what was found first makes much
 * shorter. Where only the blocks are too many, over subsets all the same but with fewer places to cut at: then not exact.
 */
export function search(model: CostModel): SearchResult {
  const everybody = model.cluster.devices.map((_, i) => i);
  const exact = effort(model, everybody) <= EXACT_EFFORT;
  const bound = new UpperBound(model);
  const scenarios = boundedBy(model, bound, exact);
  const first = firstPlan(model, scenarios, exact ? FIRST_EFFORT : EXACT_EFFORT, bound);
  const boundMs = wholeBoundMs(model, bound, scenarios);
  const weighed = exact ? model : thinned(model, everybody);
  if (weighed === undefined) return { solution: first, exact, boundMs };
  const known = first && { roundMs: first.roundMs * (1 - TOLERANCE), bound };
  const promising = scenarios.filter(({ fromMs }) => fromMs < (known?.roundMs ?? Infinity));
  const better = fastest(model, [new ExactSite(weighed, everybody, known)], promising, known?.roundMs);
  return { solution: better ?? first, exact, boundMs };
}

/** Whether any layout does, by the fast search where that finds one. */
export function fits(model: CostModel): boolean {
  const bound = new UpperBound(model);
  const scenarios = boundedBy(model, bound, false);
  return (firstPlan(model, scenarios, FIRST_EFFORT) ?? search(model).solution) !== undefined;
}

interface Bounded {
  readonly scenario: Scenario;
  /** No layout has a shorter round. */
  readonly fromMs: number;
}

/** Site by site, with chains for rounds near the bound; where the rounds found are much longer, again with chains for those. */
function firstPlan(model: CostModel, scenarios: readonly Bounded[], most: number, bound?: UpperBound): Solution | undefined {
  let best: Solution | undefined;
  const components = model.links.components();
  const [small, lans]: [(readonly number[])[], (readonly number[])[]] = [[], []];
  for (const members of components) if (members.length > 1) (effort(model, members) <= most / components.length ? small : lans).push(members);
  const relayed = relayedOf(model);
  const pairsIn = (chains: Chains) => (relayed.length > RELAYED ? new Pairs(chains, relayed) : undefined);
  let roundMs = LONGER * leastOf(scenarios);
  // Where what is shared is too much for most links at home, pipelines through the server, which the bound thinks well of, do not decide.
  if (bound !== undefined && !model.ties.none && relayed.length > RELAYED && matchable(new Chains(model, roundMs), relayed) < FEW)
    roundMs = Math.max(roundMs, LONGER * leastOf(boundedBy(model, bound.withoutRelays(), false)));
  for (let pass = 0; pass < PASSES && roundMs < Infinity; pass++) {
    const chains = new Chains(model, roundMs);
    const pairs = pairsIn(chains);
    const sets = bound?.price(lans, roundMs, pairs);
    const between = sets === undefined || pairs === undefined ? [] : homesBetween(chains, sets.mixed, new Map([...sets.direct.values()].flatMap(({ prices }) => [...prices])), pairs);
    const taken = new Set(between.flatMap(({ stages }) => stages.map(({ device }) => device)));
    const large = lans.map((members) => {
      const priced = sets?.direct.get(members[0]!);
      const left = members.filter((device) => !taken.has(device));
      return new LargeSite(model, left, chains, priced && remaining(priced, taken));
    });
    const others = [...smallSites(model, small), ...relayedSites(model, chains, relayed, { pairs, sets: sets?.relayed, between, taken })];
    const found = fastest(model, [...large, ...others], scenarios);
    if (found !== undefined && found.roundMs < (best?.roundMs ?? Infinity)) best = found;
    if (best !== undefined && best.roundMs < MUCH_LONGER * roundMs) break;
    roundMs = best?.roundMs ?? FAR_LONGER * roundMs;
  }
  return best;
}

function leastOf(scenarios: readonly Bounded[]): number {
  return Math.min(...scenarios.map(({ fromMs }) => fromMs));
}

/** The model with as many cuts, evenly spread, as a search can weigh; undefined where that is too few. */
function thinned(model: CostModel, devices: readonly number[]): CostModel | undefined {
  const { blocks } = model.costs.profile;
  const cuts = blocks.flatMap((block, i) => (block.cutAfter && i + 1 < blocks.length ? [i] : []));
  const effortWith = effortOf(model, devices);
  for (let left = cuts.length >> 1; left >= FEWEST_CUTS; left >>= 1) {
    if (effortWith(left + 1) > EXACT_EFFORT) continue;
    const kept = new Set(Array.from({ length: left }, (_, i) => cuts[Math.floor(((i + 0.5) * cuts.length) / left)]!));
    const profile = { ...model.costs.profile, blocks: blocks.map((block, i) => ({ ...block, cutAfter: kept.has(i) })) };
    return new CostModel(profile, model.cluster, model.request);
  }
  return undefined;
}

/** Of a round, whatever the layout. */
export function leastBoundMs(model: CostModel): number {
  const bound = new UpperBound(model);
  return wholeBoundMs(model, bound, boundedBy(model, bound, true));
}

/** That of a scenario which does not come near the best is not sought any further. */
function boundedBy(model: CostModel, bound: UpperBound, exact: boolean): readonly Bounded[] {
  const { batch } = model.request;
  const bounded: Bounded[] = [];
  for (const scenario of [...scenariosOf(model, exact)].reverse()) {
    const farMs = CLEARLY_LONGER * leastOf(bounded);
    bounded.push({ scenario, fromMs: bound.isShort(farMs, scenario, batch) ? farMs : bound.roundMs(scenario, batch) });
  }
  return bounded.reverse();
}

/** Where groups do whole samples. */
function wholeBoundMs({ request }: CostModel, bound: UpperBound, scenarios: readonly Bounded[]): number {
  let least = Infinity;
  for (const { scenario, fromMs } of [...scenarios].sort((a, b) => a.fromMs - b.fromMs))
    if (fromMs < least) least = Math.min(least, bound.roundMs(scenario, request.batch, { whole: true, fromMs }));
  return least;
}

function fastest({ request }: CostModel, sites: readonly Site[], scenarios: readonly Bounded[], atMostMs?: number): Solution | undefined {
  let best: Solution | undefined;
  for (const { scenario, fromMs } of [...scenarios].sort((a, b) => a.fromMs - b.fromMs)) {
    if (best !== undefined && fromMs >= best.roundMs) break;
    const found = fastestGroups(sites, scenario, request.batch, request.stepsPerRound, { fromMs, atMostMs });
    if (found !== undefined && found.roundMs < (best?.roundMs ?? Infinity)) best = found;
  }
  return best;
}

/** One group for itself; or several, each count of uploads with what the server's link then takes. */
function scenariosOf(model: CostModel, exact: boolean): readonly Scenario[] {
  const { cluster, request } = model;
  const alone = request.alwaysExchanges === true ? [] : [{ alone: true, maxUploads: 1, sharedMs: 0 }];
  const devices = cluster.devices.length;
  if (devices === 1 && alone.length > 0) return alone;
  if (cluster.server === undefined) return [...alone, { alone: false, maxUploads: Infinity, sharedMs: 0 }];
  const counts: number[] = devices > 1 && (request.optimizer === 'server' || alone.length === 0) ? [1] : [];
  for (let count = 2; count < devices; count = exact ? count + 1 : Math.ceil(count * 1.25)) counts.push(count);
  return [...alone, ...[...counts, devices].map((maxUploads) => ({ alone: false, maxUploads, sharedMs: sharedMs(model, maxUploads) }))];
}

function effort(model: CostModel, devices: readonly number[]): number {
  const cuts = Array.from({ length: model.costs.blocks }, (_, at) => at).filter((at) => model.costs.canCut(at));
  return effortOf(model, devices)(cuts.length);
}

/** … by the places where a stage may begin. */
function effortOf(model: CostModel, devices: readonly number[]): (cuts: number) => number {
  const sizes = classesOf(model, devices).map((members) => members.length);
  // Sets that may be a stage: any of devices that reach each other, else one.
  const here = new Set(devices);
  const crews = model.links
    .components()
    .map((members) => members.filter((device) => here.has(device)))
    .filter((members) => members.length > 0)
    .map((members) => classesOf(model, members).map((kind) => kind.length))
    .reduce((sum, kinds) => sum + dealings(kinds, 2) - 1, 0);
  const extensions = Math.min(dealings(sizes, 4), dealings(sizes, 2) * crews ** 2);
  const partitions = dealings(sizes, 3) * 10;
  return (cuts) => ((extensions * (cuts * (cuts + 1))) / 2) * model.request.microbatches.length + partitions;
}

/** Those few that reach each other directly; of the rest each that holds the model for itself. */
function smallSites(model: CostModel, small: readonly (readonly number[])[]): readonly Site[] {
  const lonely = lonelyOf(model);
  const sites: Site[] = small.map((members) => new ExactSite(model, members));
  for (const members of classesOf(
    model,
    lonely.filter((device) => model.memory.holds(device)),
  ))
    sites.push(...alike(new ExactSite(model, [members[0]!]), members));
  return sites;
}

/** Those that hold no model and reach nobody directly: many are matched into pairs first, but for those in larger groups, and what is left is dealt into pipelines. */
function relayedSites(
  model: CostModel,
  chains: Chains,
  relayed: readonly number[],
  { pairs, sets, between, taken }: { pairs: Pairs | undefined; sets: readonly (readonly number[])[] | undefined; between: readonly Chain[]; taken: ReadonlySet<number> },
): readonly Site[] {
  const { matched, left } = pairs === undefined ? { matched: [], left: relayed } : matchUp(pairs, sets, taken);
  const sites: Site[] = [
    new StandingSite(
      model,
      [...between, ...matched].map((chain) => chains.layoutOf(chain)),
    ),
  ];
  for (let i = 0; i < left.length; i += RELAYED) sites.push(new LargeSite(model, left.slice(i, i + RELAYED), chains));
  return sites;
}

/** Without those that are taken. */
function remaining({ prices, sets }: LanPrices, taken: ReadonlySet<number>): LanPrices {
  return { prices, sets: sets.filter((set) => !set.some((device) => taken.has(device))) };
}

/** Devices that hold no model and reach nobody directly, those of the fastest links first. */
function relayedOf(model: CostModel): readonly number[] {
  return lonelyOf(model)
    .filter((device) => !model.memory.holds(device))
    .sort((a, b) => linkOf(model, b) - linkOf(model, a) || a - b);
}

/** Devices that reach nobody directly. */
function lonelyOf({ links }: CostModel): readonly number[] {
  return links.components().flatMap((members) => (members.length === 1 ? members : []));
}

function linkOf({ cluster }: CostModel, device: number): number {
  const { upBitsPerSecond, downBitsPerSecond } = cluster.devices[device]!;
  return Math.min(upBitsPerSecond, downBitsPerSecond);
}

/** Solos that are alike are weighed once. */
function alike(first: Site, members: readonly number[]): readonly Site[] {
  let known: { readonly roundMs: number; readonly scenario: Scenario; readonly groups: readonly Chosen[] } | undefined;
  const weigh = (roundMs: number, scenario: Scenario) => {
    if (known?.roundMs !== roundMs || known.scenario !== scenario)
      known = { roundMs, scenario, groups: first.bestWithin(roundMs, scenario) };
    return known.groups;
  };
  return members.map((device) => ({
    bestWithin: (roundMs, scenario) =>
      weigh(roundMs, scenario).map((group) => ({
        ...group,
        layout: { ...group.layout, stages: group.layout.stages.map((stage) => ({ ...stage, devices: [device] })) },
      })),
  }));
}
