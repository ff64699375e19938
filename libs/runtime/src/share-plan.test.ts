import type { ShareRule } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Group } from './group.js';
import { SharedLine } from './shared-line.js';
import { SharePlan, type PlannedShares } from './share-plan.js';
import { Speed } from './speed.js';

const BATCH = 64;

interface Device {
  readonly exchangeMs: number;
  readonly msPerSample: number;
}

/** The k fastest, each as much as another: whichever k is best. */
const naive: ShareRule = (batch, workers, _previous, sharedMs = 0) => {
  let best: { readonly ms: number; readonly shares: ReadonlyMap<string, number> } | undefined;
  for (let k = 1; k <= workers.length; k++) {
    const timeOf = ({ fixedMs, msPerSample }: (typeof workers)[number]) => fixedMs + (batch / k) * msPerSample;
    const chosen = [...workers].sort((a, b) => timeOf(a) - timeOf(b)).slice(0, k);
    const ms = timeOf(chosen.at(-1)!) + k * sharedMs;
    if (best !== undefined && ms >= best.ms) continue;
    const evenly = (i: number) => Math.floor(((i + 1) * batch) / k) - Math.floor((i * batch) / k);
    best = { ms, shares: new Map(workers.map((worker) => [worker.node, chosen.includes(worker) ? evenly(chosen.indexOf(worker)) : 0])) };
  }
  return best!.shares;
};

/** Rounds as a run has them, of groups of which each makes everybody's exchange longer. */
class World {
  readonly line = new SharedLine();
  readonly groups: readonly Group[];
  readonly plan: SharePlan;
  readonly tries: { readonly round: number; readonly shares: ReadonlyMap<string, number> }[] = [];
  nowMs = 0;
  private round = 0;

  constructor(
    private readonly devices: readonly Device[],
    public sharedMs: number,
    private readonly together = true,
    rule = naive,
  ) {
    this.groups = devices.map(({ msPerSample }, i) => ({ id: `g${i}`, name: `g${i}`, solo: true, speed: Speed.measured(1000 / msPerSample, this.line) }) as unknown as Group);
    this.plan = new SharePlan(rule, this.line);
  }

  next(): PlannedShares {
    const { groups, together, nowMs } = this;
    return this.plan.next({ round: this.round, samples: BATCH, groups, together, nowMs });
  }

  /** Returns how long it took. */
  go(): number {
    this.round++;
    const { shares, reason } = this.next();
    if (/try|to see/.test(reason)) this.tries.push({ round: this.round, shares });
    const taking = this.groups.filter(({ id }) => shares.get(id)! > 0);
    this.line.groups = taking.length;
    let roundMs = 0;
    for (const [i, { id, speed }] of this.groups.entries()) {
      const samples = shares.get(id)!;
      if (samples === 0) {
        speed.idled();
        continue;
      }
      const { exchangeMs, msPerSample } = this.devices[i]!;
      const computeMs = samples * msPerSample;
      const elapsedMs = computeMs + exchangeMs + taking.length * this.sharedMs;
      speed.delivered({ samples, computeMs, elapsedMs });
      roundMs = Math.max(roundMs, elapsedMs);
    }
    this.line.settle();
    this.nowMs += roundMs;
    return roundMs;
  }

  run(rounds: number): readonly number[] {
    return Array.from({ length: rounds }, () => this.go());
  }

  /** Of what devices and line are. */
  get bestMs(): number {
    const workers = this.devices.map(({ exchangeMs, msPerSample }, i) => ({ node: `g${i}`, fixedMs: exchangeMs, msPerSample }));
    const shares = naive(BATCH, workers, new Map(), this.sharedMs);
    const taking = workers.filter(({ node }) => shares.get(node)! > 0);
    return Math.max(...taking.map(({ node, fixedMs, msPerSample }) => fixedMs + shares.get(node)! * msPerSample)) + taking.length * this.sharedMs;
  }
}

const devices = fc.array(
  fc.record({ exchangeMs: fc.double({ min: 10, max: 500, noNaN: true }), msPerSample: fc.double({ min: 1, max: 20, noNaN: true }) }),
  { minLength: 2, maxLength: 8 },
);
const shared = fc.double({ min: 0, max: 500, noNaN: true });

test('rounds come to be those of the best set, and all that is tried costs a small part of the time', () => {
  fc.assert(
    fc.property(devices, shared, (fleet, sharedMs) => {
      const world = new World(fleet, sharedMs);
      const ms = world.run(400);
      const tried = new Set(world.tries.map(({ round }) => round));
      const { bestMs } = world;
      // Where exchanges are less than a quarter of a round nobody looks for what they could take.
      const settled = ms.slice(200).filter((_, i) => !tried.has(i + 201));
      for (const roundMs of settled) expect(roundMs).toBeLessThanOrEqual((1 / 0.75) * 1.01 * bestMs);
      const usualMs = settled.reduce((sum, roundMs) => sum + roundMs, 0) / settled.length;
      const total = ms.reduce((sum, roundMs) => sum + roundMs, 0);
      expect(total).toBeLessThan(1.1 * 400 * usualMs + 20 * ms[0]!);
    }),
    // To shrink hundreds of rounds of eight devices takes longer than to read them.
    { numRuns: 40, endOnFailure: true },
  );
});

test('a line that all are behind is found out within two rounds of the first', () => {
  const world = new World(Array.from({ length: 24 }, () => ({ exchangeMs: 40, msPerSample: 10 })), 3800);
  const ms = world.run(4);
  expect(world.tries[0]).toMatchObject({ round: 2 });
  // As few as would be best if that were all that exchanges take.
  expect([...world.tries[0]!.shares.values()].filter((share) => share > 0)).toHaveLength(1);
  expect(ms[2]).toBeCloseTo(world.bestMs);
  expect(world.line.msEach).toBeCloseTo(3800);
});

test('where it costs too much if exchanges are each group\'s own, half of them is tried, and not again', () => {
  const world = new World(Array.from({ length: 8 }, () => ({ exchangeMs: 300, msPerSample: 40 })), 0);
  world.run(200);
  expect(world.tries).toHaveLength(1);
  expect(world.tries[0]!.round).toBeGreaterThan(8);
  expect([...world.tries[0]!.shares.values()].filter((share) => share > 0)).toHaveLength(4);
  expect([...world.next().shares.values()]).toEqual(Array(8).fill(8));
});

test('groups that are left out are tried in turn, a part of a share each, and who has become fast takes part again', () => {
  const fleet = [10, 10, 40, 45, 50].map((msPerSample) => ({ exchangeMs: 400, msPerSample }));
  const world = new World(fleet, 150);
  world.run(400);
  const last = world.next().shares;
  const left = world.groups.filter(({ id }) => last.get(id) === 0);
  expect(left.length).toBeGreaterThan(2);
  for (const { id } of left) expect(world.tries.filter(({ shares }) => shares.get(id)! > 0).length).toBeGreaterThan(1);
  fleet[4]!.msPerSample = 1;
  world.run(200);
  expect(world.next().shares.get('g4')).toBeGreaterThan(0);
});

test('the turn of who is not measured as yet comes, though those who are known to be slow are a little cheaper to try', () => {
  const fleet = [
    { exchangeMs: 499.9999999999999, msPerSample: 8.753390263181819 },
    { exchangeMs: 30.78249928493493, msPerSample: 4.759187921131303 },
    { exchangeMs: 324.4659339184667, msPerSample: 1.0000000000000027 },
    { exchangeMs: 499.99999999999983, msPerSample: 1 },
    { exchangeMs: 10.000000000000028, msPerSample: 5.687550509613875 },
    { exchangeMs: 499.9999999999996, msPerSample: 1.256534648528543 },
    { exchangeMs: 351.83459444720296, msPerSample: 13.105818534089364 },
    { exchangeMs: 55.760133789993866, msPerSample: 12.360969108004056 },
  ];
  const world = new World(fleet, 0);
  const rounds = world.run(100);
  expect(world.tries.length).toBeGreaterThan(2);
  expect(rounds.at(-1)).toBeCloseTo(world.bestMs);
});

test('who did not finish a task is tried once it may be in time, and then expected to be', () => {
  const world = new World([10, 10, 10, 10].map((msPerSample) => ({ exchangeMs: 20, msPerSample })), 0);
  world.run(3);
  const { speed } = world.groups[3]!;
  speed.missed({ samples: 16, elapsedMs: 2000, computeMs: undefined });
  const rounds = world.run(100);
  // So few that it is in time even if it is as slow as it seems to be.
  expect(world.tries[0]!.shares.get('g3')).toBe(1);
  expect(Math.max(...rounds)).toBeLessThanOrEqual(rounds[0]!);
  expect(world.next().shares.get('g3')).toBe(16);
});

test('a rule that goes by nothing measured is left alone, and where groups do not wait for each other none is left out to see', () => {
  const equal: ShareRule = Object.assign((batch: number, workers: Parameters<ShareRule>[1]) => new Map(workers.map(({ node }) => [node, batch / workers.length])), { fixed: true });
  for (const world of [new World(Array.from({ length: 4 }, () => ({ exchangeMs: 900, msPerSample: 1 })), 100, true, equal), new World(Array.from({ length: 4 }, () => ({ exchangeMs: 900, msPerSample: 1 })), 0, false)]) {
    world.run(50);
    expect(world.tries).toEqual([]);
  }
});

test('asked again for the same round it says the same', () => {
  const world = new World([10, 20].map((msPerSample) => ({ exchangeMs: 10, msPerSample })), 5);
  world.run(2);
  expect(world.next()).toBe(world.next());
});
