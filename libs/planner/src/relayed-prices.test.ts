import type { DeviceProfile, Rng } from '@longtail/core';
import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UpperBound } from './bound.js';
import { Chains } from './chain.js';
import type { GroupDraft } from './group-draft.js';
import { CostModel } from './cost-model.js';
import { Pairs } from './pairs.js';
import { samplesWithin } from './rounds.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const LAYERS = 8;
const PIPELINES = 200;

/** Homes and small offices, of devices that hold a part of the model each. */
function fleet(rng: Rng): CostModel {
  const between = (low: number, high: number) => low * (high / low) ** rng.uniform();
  const handOverMs = rng.below(2) === 0 ? 0 : between(0.1, 100);
  const devices = Array.from({ length: 4 + rng.below(8) }, (_, i): DeviceProfile => {
    const up = between(5e6, 2e8);
    return {
      id: `d${i}`,
      name: 'device',
      flopsPerSecond: between(2e11, 4e12),
      memoryBytes: between(300e6, 1500e6),
      upBitsPerSecond: up,
      downBitsPerSecond: 6 * up,
      roundTripMs: 10 + 40 * rng.uniform(),
      handOverMs,
    };
  });
  const ids = devices.map(({ id }) => id);
  const offices = [ids.slice(0, rng.below(5)), ids.slice(5, 5 + rng.below(4))].filter(({ length }) => length > 1);
  const lans = offices.map((members, i) => ({ name: `office${i}`, devices: members, bitsPerSecond: 1e9, roundTripMs: 0.5 }));
  const layers = equalLayers(LAYERS, { parameters: 4_000_000, outputBytes: between(1e4, 5e5) });
  const tied = rng.below(2) === 0 ? [] : [{ name: 'table', parameters: Math.round(between(1e4, 4e6)) }];
  const profile = { ...layers, blocks: layers.blocks.map((block, i) => (i === 0 || i === LAYERS - 1 ? { ...block, tied } : block)) };
  return new CostModel(
    profile,
    { devices, lans, peers: [] },
    { ...REQUEST, microbatches: [1, 2], recompute: 'allowed', stepsPerRound: 1 + rng.below(20), upBitsPerValue: 8 },
  );
}

function shuffled<T>(items: readonly T[], rng: Rng): readonly T[] {
  return items
    .map((item) => ({ item, at: rng.uniform() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Any stages of devices that reach each other, those of some sites beside one another; or those of one at both ends. */
function pipeline(model: CostModel, rng: Rng): GroupDraft | undefined {
  const sites = model.links.components().map((members) => shuffled(members, rng));
  const crews: (readonly number[])[] = [];
  for (const members of shuffled(sites, rng).slice(0, 1 + rng.below(4)))
    for (let taken = 0; taken < members.length && (taken === 0 || rng.below(3) > 0);)
      crews.push(members.slice(taken, (taken += 1 + (rng.below(3) === 0 ? rng.below(3) : 0))));
  if (crews.length < 2 || crews.length > LAYERS) return undefined;
  if (rng.below(2) === 0) crews.push(crews.shift()!);
  const cuts = shuffled(
    Array.from({ length: LAYERS - 1 }, (_, i) => i + 1),
    rng,
  ).slice(0, crews.length - 1);
  const ends = [0, ...[...cuts].sort((a, b) => a - b), LAYERS];
  const draft = {
    microbatch: 1 + rng.below(2),
    stages: crews.map((devices, s) => ({ start: ends[s]!, end: ends[s + 1]!, devices, recompute: false })),
  };
  const needs = draft.stages.map((_, s) => model.memory.recomputeIn(draft, s));
  if (needs.includes(undefined)) return undefined;
  return { ...draft, stages: draft.stages.map((stage, s) => ({ ...stage, recompute: needs[s]! })) };
}

test('no pipeline manages more whole samples than its members have prices, those through the server, of two and with replicas included', () => {
  const seen = { priced: 0, pipelines: 0, pairs: 0, replicas: 0, mixed: 0, meeting: 0, near: 0 };
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const rng = createRng(seed);
      const model = fleet(rng);
      const components = model.links.components();
      const lone = components.flatMap((members) => (members.length === 1 ? members : []));
      const matched = lone.filter(() => rng.below(4) > 0);
      const roundMs = model.request.stepsPerRound * 1000 * (1 + rng.below(15));
      const bound = new UpperBound(model);
      const before = bound.credits(roundMs, true);
      bound.price(components, roundMs, new Pairs(new Chains(model, roundMs), matched));
      const shorterMs = roundMs * (rng.below(2) === 0 ? 1 : 1 - 0.1 * rng.uniform());
      const credits = bound.credits(shorterMs, true);
      if (credits.some((credit, device) => credit !== before[device])) seen.priced++;
      for (let i = 0; i < PIPELINES; i++) {
        const layout = pipeline(model, rng);
        if (layout === undefined) continue;
        const samples = Math.floor(samplesWithin(model.group(layout, false), shorterMs, model.request.stepsPerRound, 0) + 1e-9);
        const members = layout.stages.flatMap(({ devices }) => devices);
        const credit = members.reduce((sum, device) => sum + credits[device]!, 0);
        expect(samples).toBeLessThanOrEqual(credit + 1e-6);
        if (samples === 0) continue;
        seen.pipelines++;
        if (members.length === 2) seen.pairs++;
        if (layout.stages.some(({ devices }) => devices.length > 1)) seen.replicas++;
        if (members.some((device) => lone.includes(device)) && !members.every((device) => lone.includes(device))) seen.mixed++;
        if (members.length > 2 && model.links.onlyLan([members[0]!], [members.at(-1)!]) !== undefined && model.links.onlyLan(members, members) === undefined) seen.meeting++;
        if (samples > 0.8 * credit) seen.near++;
      }
    }),
    { numRuns: 60 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
});
