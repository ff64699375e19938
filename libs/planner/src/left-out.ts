import type { LeftOut } from '@longtail/core';
import { formatBytes, formatCount, formatMilliseconds } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import { roundMsOf, type Scenario } from './rounds.js';

/** Why a device has no part in a plan that was searched for, in figures. */
export function leftOut(model: CostModel, used: ReadonlySet<string>, scenario: Scenario, roundMs: number): readonly LeftOut[] {
  const partners = partnersIn(model);
  return idle(model, used, (index) => {
    const small = tooSmall(model, index);
    if (small !== undefined) return `${small}; ${asStage(model, index, roundMs, partners)}`;
    return tooSlow(model, index, scenario, roundMs) ?? noGain(model, index, scenario, roundMs);
  });
}

/** … in one that somebody else chose: its group is too slow for a sample of the batch, or it has no group, and what would keep it from having one anyway. */
export function withoutPlace(model: CostModel, groups: readonly GroupDraft[], used: ReadonlySet<string>, scenario: Scenario, roundMs: number): readonly LeftOut[] {
  return idle(model, used, (index) => {
    const group = groups.find(({ stages }) => stages.some(({ devices }) => devices.includes(index)));
    if (group !== undefined) {
      const withItMs = roundMsOf(model.group(group, scenario.alone), 1, model.request.stepsPerRound, scenario.sharedMs);
      return withItMs > roundMs ? `a round with its group would take ${formatMilliseconds(withItMs)}, without it ${formatMilliseconds(roundMs)}` : wouldNotShorten(roundMs);
    }
    const anyway = tooSmall(model, index) ?? tooSlow(model, index, scenario, roundMs);
    return ['the layout as it stands has no place for it', ...(anyway === undefined ? [] : [anyway])].join('; ');
  });
}

function idle({ cluster }: CostModel, used: ReadonlySet<string>, reasonOf: (index: number) => string): readonly LeftOut[] {
  return cluster.devices.flatMap(({ id, name }, index) => (used.has(id) ? [] : [{ device: id, name, reason: reasonOf(index) }]));
}

/** Of a device, those among whom the one is that it has the fastest hop to. */
type Partners = (device: number) => readonly number[];

/** Those that it reaches directly, and through the server all but whom devices of two sites outdo both ways: one of these at least it reaches so too. */
function partnersIn({ cluster: { devices }, links }: CostModel): Partners {
  const sites = links.components();
  const siteOf: number[] = [];
  for (const [site, members] of sites.entries()) for (const device of members) siteOf[device] = site;
  const isOutdone = (device: number) => {
    const { upBitsPerSecond, downBitsPerSecond } = devices[device]!;
    let by = -1;
    for (let other = 0; other < devices.length; other++) {
      if (other === device || siteOf[other] === by) continue;
      const { upBitsPerSecond: up, downBitsPerSecond: down } = devices[other]!;
      if (up < upBitsPerSecond || down < downBitsPerSecond || (up === upBitsPerSecond && down === downBitsPerSecond && other > device)) continue;
      if (by >= 0) return true;
      by = siteOf[other]!;
    }
    return false;
  };
  const fastest = devices.map((_, device) => device).filter((device) => !isOutdone(device));
  return (device) => [...sites[siteOf[device]!]!, ...fastest].filter((other) => other !== device);
}

/** For the whole model, of which a device may still hold a part. */
function tooSmall(model: CostModel, index: number): string | undefined {
  const { costs, cluster, request } = model;
  const smallest = Math.min(...request.microbatches);
  if (model.memory.holds(index)) return undefined;
  const needs = model.memory.ofStage(index, 0, costs.blocks, smallest, 1, false).total;
  return `needs ${formatBytes(needs)} for the whole model, has ${formatBytes(cluster.devices[index]!.memoryBytes)}`;
}

/** A device that holds the whole model and is not done with its part within the round. */
function tooSlow(model: CostModel, index: number, scenario: Scenario, roundMs: number): string | undefined {
  const { costs, cluster, request } = model;
  const { upBitsPerSecond, downBitsPerSecond } = cluster.devices[index]!;
  const exchangeMs = model.exchangeMs(index, costs.parameters(0, costs.blocks));
  if (exchangeMs >= roundMs) {
    const slower = upBitsPerSecond * request.downBitsPerValue <= downBitsPerSecond * request.upBitsPerValue ? 'uplink' : 'downlink';
    return `its ${slower} would bound the round: ${formatMilliseconds(exchangeMs)} of exchange, the round takes ${formatMilliseconds(roundMs)}`;
  }
  if (scenario.alone)
    return `with it groups would have to exchange, ${formatMilliseconds(exchangeMs)} a round; one group alone needs ${formatMilliseconds(roundMs)} and no exchange`;
  const sampleMs = sampleMsOf(model, index);
  const ownMs = (request.local?.batch ?? 0) * sampleMs;
  if (request.local?.overlaps === false && ownMs > roundMs - exchangeMs)
    return `a local step takes it ${formatMilliseconds(ownMs)}, more than the ${formatMilliseconds(roundMs - exchangeMs)} that its exchange leaves of a round`;
  if (roundMs - exchangeMs < request.stepsPerRound * sampleMs)
    return `a sample takes it ${formatMilliseconds(sampleMs)}, more than the ${formatMilliseconds(roundMs - exchangeMs)} that its exchange leaves of a round`;
  return undefined;
}

function noGain(model: CostModel, index: number, { maxUploads, sharedMs }: Scenario, roundMs: number): string {
  const { costs, cluster, request } = model;
  if (maxUploads >= cluster.devices.length) return wouldNotShorten(roundMs);
  const leftMs = roundMs - model.exchangeMs(index, costs.parameters(0, costs.blocks));
  const samples = leftMs / request.stepsPerRound / sampleMsOf(model, index);
  return `the server's link carries ${maxUploads} times the model in ${formatMilliseconds(sharedMs)}; another would cost more than its ${formatCount(samples)} samples`;
}

function wouldNotShorten(roundMs: number): string {
  return `would not shorten the round of ${formatMilliseconds(roundMs)}`;
}

/** Of one that holds the whole model, in its smallest microbatches. */
function sampleMsOf(model: CostModel, index: number): number {
  const { costs, request } = model;
  const smallest = Math.min(...request.microbatches);
  return model.stage([index], 0, costs.blocks, smallest, false).periodMs / smallest;
}

/** The least that taking part in a pipeline would cost it. */
function asStage(model: CostModel, index: number, roundMs: number, partners: Partners): string {
  const { costs, cluster, request } = model;
  if (request.wholeModels) return 'its strategy has no pipelines';
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  if (cuts.length === 0) return 'and the model cannot be cut';
  if (cluster.devices.length === 1) return 'and there is no other device to share it with';
  const held = cuts.some(
    (at) => model.memory.recomputeFor(index, 0, at, 1, 2) !== undefined || model.memory.recomputeFor(index, at, costs.blocks, 1, 1) !== undefined,
  );
  if (!held) return 'and not even its first or last blocks fit';
  const smallest = cuts.reduce((best, next) => (costs.cutBits(next) < costs.cutBits(best) ? next : best));
  const hop = Math.min(...partners(index).map((other) => model.hop(model.links.between([index], [other]), smallest, 1).periodMs));
  const whole = hop * (request.local?.batch ?? request.batch);
  return whole >= roundMs
    ? `as a stage, activations and gradients would take ${formatMilliseconds(hop)} a sample over its link`
    : `every pipeline with it is slower than the round of ${formatMilliseconds(roundMs)}`;
}
