import { createRng } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { pipelinePlan, soloPlan } from './testing/chaos-plan.js';
import { runPlan } from './testing/chaos-suite.js';
import { eventsOf } from './testing/scenarios.js';

const SEEDS = 12;
const LINK = { upBitsPerSecond: 1e7, downBitsPerSecond: 1e7, rttMs: 10 };

test.each([
  ['solo', soloPlan],
  ['pipelines', pipelinePlan],
] as const)(
  'a standby in step loses no committed round, and goes on with the same bits, whatever befalls it (%s)',
  async (name, planOf) => {
    let [inStep, fellBehind] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const rng = createRng(`standby/${name}/${seed}`);
      const plan = planOf(seed);
      const atMs = 500 + rng.below(1500);
      const disturbance: Fault = { kind: 'standby', how: rng.below(2) === 0 ? 'cut' : 'stall', atMs: 200 + rng.below(atMs), forMs: rng.below(1200) };
      // What ends a run early is no matter of the standby's.
      const others = plan.faults.filter(({ kind }) => !['kill-server', 'freeze-server', 'disk-full', 'cancel'].includes(kind));
      const faults: readonly Fault[] = [...others, ...(rng.below(2) === 0 ? [disturbance] : []), { kind: 'kill-server', atMs, forMs: 500 }];
      const { events, lostCommits } = await runPlan({ ...plan, faults }, { standby: { link: LINK, joinAtMs: rng.below(2) * rng.below(800) } });
      expect(lostCommits, `seed ${seed}`).toEqual([]);
      const at = events.findIndex(({ body }) => body.event === 'taken_over');
      if (at >= 0 && eventsOf(events.slice(0, at), 'standby').at(-1)?.state === 'in step') inStep++;
      fellBehind += eventsOf(events, 'standby').filter(({ state }) => state !== 'in step').length;
    }
    expect(inStep).toBeGreaterThan(SEEDS / 4);
    expect(fellBehind).toBeGreaterThan(0);
  },
  120_000,
);
