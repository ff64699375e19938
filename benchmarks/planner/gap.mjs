// Whose the gap is: a few neighbours of the fleet of homes and offices, laid out exactly, by the fast search, and bounded.
//   node benchmarks/planner/gap.mjs [--devices 5] [--seeds 3]
import { parseArgs } from 'node:util';
import { createRng } from '../../libs/core/dist/index.js';
import { UpperBound } from '../../libs/planner/dist/bound.js';
import { Chains } from '../../libs/planner/dist/chain.js';
import { ExactSite } from '../../libs/planner/dist/exact-site.js';
import { LargeSite } from '../../libs/planner/dist/large-site.js';
import { CostModel } from '../../libs/planner/dist/cost-model.js';
import { fleetsOf } from './fleets.mjs';

const { values: flags } = parseArgs({ options: { devices: { type: 'string', default: '5' }, seeds: { type: 'string', default: '3' } } });
const count = Number(flags.devices);
/** About that of the whole fleet. */
const ROUND_MS = 4.8e6;
const exchanging = { alone: false, maxGroups: Infinity, sharedMs: 0 };
const name = 'homes and offices of 5 to 40';
const make = fleetsOf(1000)[name];

for (const [place, neighbours] of Object.entries({ 'in an office': inOffices, 'at homes, holding no model': atHomes })) {
  let [sets, exact, fast, bound, worst] = [0, 0, 0, 0, 1];
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    const { profile, cluster, request } = make(createRng(`${name}/${seed}`));
    for (const few of neighbours(cluster)) {
      const model = new CostModel(profile, few, request);
      const devices = few.devices.map((_, i) => i);
      const samplesOf = (site) => site.bestWithin(ROUND_MS, exchanging).reduce((sum, group) => sum + group.samples, 0);
      const [best, found] = [
        samplesOf(new ExactSite(model, devices)),
        samplesOf(new LargeSite(model, devices, new Chains(model, ROUND_MS))),
      ];
      sets++;
      exact += best;
      fast += found;
      bound += new UpperBound(model).credits(ROUND_MS).reduce((sum, credit) => sum + credit, 0);
      if (best > 0) worst = Math.min(worst, found / best);
    }
  }
  const ratios = `fast search ${(fast / exact).toFixed(3)} of exact (worst ${worst.toFixed(3)}), exact ${(exact / bound).toFixed(3)} of the bound`;
  console.log(`${sets} sets of ${count} ${place}: ${ratios}`);
}

/** The first of each of eight offices. */
function inOffices(cluster) {
  const byId = new Map(cluster.devices.map((device) => [device.id, device]));
  return cluster.lans
    .filter(({ devices }) => devices.length >= count)
    .slice(0, 8)
    .map((lan) => {
      const ids = lan.devices.slice(0, count);
      return { devices: ids.map((id) => byId.get(id)), lans: [{ ...lan, devices: ids }], peers: [] };
    });
}

/** Of like uplinks, every sixth set. */
function atHomes(cluster) {
  const inLan = new Set(cluster.lans.flatMap(({ devices }) => devices));
  const lone = cluster.devices
    .filter(({ id, memoryBytes }) => !inLan.has(id) && memoryBytes < 20 * 2 ** 30)
    .sort((a, b) => b.upBitsPerSecond - a.upBitsPerSecond);
  const sets = [];
  for (let i = 0; i + count <= lone.length; i += 6 * count) sets.push({ devices: lone.slice(i, i + count), lans: [], peers: [] });
  return sets;
}
