import type { Chain, Chains } from './chain.js';
import { ordersOf } from './matching.js';
import type { Pairs } from './pairs.js';

/** Of those sets that promise most; larger ones have too many orders. */
const MOST_SETS = 600;
const MOST_MEMBERS = 4;

/** A gain that is smaller is rounding. */
const GAIN = 1e-9;

/**
 * Chains of devices of a site with lone ones between, which manage more whole samples than the former's prices and what the latter have in pairs: of these
 * sets in any order, the largest gains that do not overlap.
 */
export function homesBetween(chains: Chains, sets: readonly (readonly number[])[], prices: ReadonlyMap<number, number>, pairs: Pairs): readonly Chain[] {
  const half = new Map(pairs.devices.map((device, a) => [device, pairs.mostOf(a) / 2]));
  const costOf = (device: number) => prices.get(device) ?? half.get(device) ?? Infinity;
  const weighed: { readonly chain: Chain; readonly gain: number }[] = [];
  for (const set of sets.slice(0, MOST_SETS)) {
    const cost = set.reduce((sum, device) => sum + costOf(device), 0);
    const orders = set.length > MOST_MEMBERS ? [] : ordersOf(set).filter((order) => prices.has(order[0]!) && prices.has(order.at(-1)!));
    let chain: Chain | undefined;
    for (const order of orders) chain = chains.of(Int32Array.from(order), chain?.samples ?? cost) ?? chain;
    if (chain === undefined || chain.stages.length < set.length) continue;
    const gain = Math.floor(chain.samples + GAIN) - cost;
    if (gain > GAIN) weighed.push({ chain, gain });
  }
  const taken = new Set<number>();
  const best: Chain[] = [];
  for (const { chain } of weighed.sort((a, b) => b.gain - a.gain)) {
    const members = chain.stages.map(({ device }) => device);
    if (members.some((device) => taken.has(device))) continue;
    for (const device of members) taken.add(device);
    best.push(chain);
  }
  return best;
}
