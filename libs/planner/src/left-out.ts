import type { LeftOut } from '@longtail/core';
import { formatBytes, formatCount, formatMilliseconds } from '@longtail/core';
import type { CostModel } from './layout.js';
import type { Scenario } from './rounds.js';

/** Why a device has no part in a plan, in figures. */
export function leftOut(model: CostModel, used: ReadonlySet<string>, scenario: Scenario, roundMs: number): readonly LeftOut[] {
  const partners = partnersIn(model);
  return model.cluster.devices.flatMap((device, index) =>
    used.has(device.id) ? [] : [{ device: device.id, name: device.name, reason: reasonFor(model, index, { scenario, roundMs, partners }) }],
  );
}

interface LeftBy {
  readonly scenario: Scenario;
  readonly roundMs: number;
  readonly partners: Partners;
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

function reasonFor(model: CostModel, index: number, { scenario, roundMs, partners }: LeftBy): string {
  const { costs, cluster, request } = model;
  const { memoryBytes, upBitsPerSecond, downBitsPerSecond } = cluster.devices[index]!;
  const smallest = Math.min(...request.microbatches);
  const recompute = model.recomputeFor(index, 0, costs.blocks, smallest, 1);
  if (recompute === undefined) {
    const needs = model.memory(index, 0, costs.blocks, smallest, 1, request.recompute !== 'never').total;
    return `needs ${formatBytes(needs)} for the whole model, has ${formatBytes(memoryBytes)}; ${asStage(model, index, roundMs, partners)}`;
  }
  const exchangeMs = model.exchangeMs(index, costs.parameters(0, costs.blocks));
  if (exchangeMs >= roundMs) {
    const slower = upBitsPerSecond * request.downBitsPerValue <= downBitsPerSecond * request.upBitsPerValue ? 'uplink' : 'downlink';
    return `its ${slower} would bound the round: ${formatMilliseconds(exchangeMs)} of exchange, the round takes ${formatMilliseconds(roundMs)}`;
  }
  if (scenario.alone)
    return `with it groups would have to exchange, ${formatMilliseconds(exchangeMs)} a round; one group alone needs ${formatMilliseconds(roundMs)} and no exchange`;
  const { periodMs } = model.stage([index], 0, costs.blocks, smallest, recompute);
  const ownMs = ((request.local?.batch ?? 0) / smallest) * periodMs;
  if (request.local?.overlaps === false && ownMs > roundMs - exchangeMs)
    return `a local step takes it ${formatMilliseconds(ownMs)}, more than the ${formatMilliseconds(roundMs - exchangeMs)} that its exchange leaves of a round`;
  const manages = ((roundMs - exchangeMs) / request.stepsPerRound / periodMs) * smallest;
  if (manages < 1)
    return `a sample takes it ${formatMilliseconds(periodMs / smallest)}, more than the ${formatMilliseconds(roundMs - exchangeMs)} that its exchange leaves of a round`;
  return scenario.maxUploads < cluster.devices.length
    ? `the server's link carries ${scenario.maxUploads} times the model in ${formatMilliseconds(scenario.sharedMs)}; another would cost more than its ${formatCount(manages)} samples`
    : `would not shorten the round of ${formatMilliseconds(roundMs)}`;
}

/** The least that taking part in a pipeline would cost it. */
function asStage(model: CostModel, index: number, roundMs: number, partners: Partners): string {
  const { costs, cluster, request } = model;
  if (request.wholeModels) return 'its strategy has no pipelines';
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  if (cuts.length === 0) return 'and the model cannot be cut';
  if (cluster.devices.length === 1) return 'and there is no other device to share it with';
  const held = cuts.some(
    (at) => model.recomputeFor(index, 0, at, 1, 2) !== undefined || model.recomputeFor(index, at, costs.blocks, 1, 1) !== undefined,
  );
  if (!held) return 'and not even its first or last blocks fit';
  const smallest = cuts.reduce((best, next) => (costs.cutBits(next) < costs.cutBits(best) ? next : best));
  const hop = Math.min(...partners(index).map((other) => model.hop(model.hopWay([index], [other]), smallest, 1).periodMs));
  const whole = hop * (request.local?.batch ?? request.batch);
  return whole >= roundMs
    ? `as a stage, activations and gradients would take ${formatMilliseconds(hop)} a sample over its link`
    : `every pipeline with it is slower than the round of ${formatMilliseconds(roundMs)}`;
}
