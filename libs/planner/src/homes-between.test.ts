import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Chains } from './chain.js';
import { homesBetween } from './homes-between.js';
import { CostModel } from './cost-model.js';
import { matchUp } from './matching.js';
import { Pairs } from './pairs.js';
import { samplesWithin } from './rounds.js';
import { homes } from './testing/homes.js';

const ROUND_MS = 60_000;
const OFFICE = 4;
const HOMES = 6;

/** The first in an office; a table at both ends of the model, which takes most homes longer to send than a step. */
function withOffice(seed: number): CostModel {
  const { cluster, costs, request } = homes(seed, OFFICE + HOMES);
  const { profile } = costs;
  const tied = [{ name: 'table', parameters: 50_000_000 }];
  const blocks = profile.blocks.map((block, i) => (i === 0 || i === profile.blocks.length - 1 ? { ...block, tied } : block));
  const office = { name: 'office', devices: cluster.devices.slice(0, OFFICE).map(({ id }) => id), bitsPerSecond: 1e10, roundTripMs: 0.5 };
  const devices = cluster.devices.map((device) => ({ ...device, memoryBytes: 4 * device.memoryBytes }));
  return new CostModel({ ...profile, blocks }, { ...cluster, devices, lans: [office] }, { ...request, stepsPerRound: 2 });
}

test('homes are between two devices of an office where that is more than these are worth, each device once, and are paired with nobody then', () => {
  const seen = { chains: 0, homes: 0 };
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const model = withOffice(seed);
      const chains = new Chains(model, ROUND_MS);
      const pairs = new Pairs(chains, Array.from({ length: HOMES }, (_, i) => OFFICE + i));
      const rng = createRng(seed);
      const prices = new Map(Array.from({ length: OFFICE }, (_, device) => [device, 3 * rng.uniform()] as const));
      const someHome = () => OFFICE + rng.below(HOMES);
      const sets = Array.from({ length: 30 }, () => [...new Set([rng.below(OFFICE), rng.below(OFFICE), someHome(), someHome()])]);
      const found = homesBetween(chains, sets, prices, pairs);
      const members = found.map(({ stages }) => stages.map(({ device }) => device));
      const taken = new Set(members.flat());
      expect(taken.size).toBe(members.flat().length);
      for (const [i, devices] of members.entries()) {
        expect(sets.map((set) => [...set].sort().join())).toContain([...devices].sort().join());
        for (const end of [devices[0]!, devices.at(-1)!]) expect(end).toBeLessThan(OFFICE);
        const samples = samplesWithin(model.group(chains.layoutOf(found[i]!), false), ROUND_MS, model.request.stepsPerRound, 0);
        expect(Math.floor(samples + 1e-9)).toBeGreaterThan(devices.reduce((sum, device) => sum + (prices.get(device) ?? 0), 0));
        seen.chains++;
        seen.homes += devices.filter((device) => device >= OFFICE).length;
      }
      const { matched, left } = matchUp(pairs, [], taken);
      const others = [...matched.flatMap(({ stages }) => stages.map(({ device }) => device)), ...left];
      expect([...others, ...[...taken].filter((device) => device >= OFFICE)].sort((a, b) => a - b)).toEqual(pairs.devices);
    }),
    { numRuns: 100 },
  );
  expect(seen.chains).toBeGreaterThan(20);
  expect(seen.homes).toBeGreaterThanOrEqual(seen.chains);
});
