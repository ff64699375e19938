import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Line, Trunk, type Load } from './fair-share.js';
import { VirtualClock } from './virtual-clock.js';

const never = new AbortController().signal;

interface Arrival {
  readonly atMs: number;
  readonly bytes: number;
  readonly line: number;
}

interface Rates {
  /** Bytes/ms. */
  readonly trunk: number;
  readonly lines: readonly { readonly rate: number; readonly loadRate: number }[];
}

function load(bytes: number, passed: () => void): Load {
  return { bytes, until: 0, turn: 0, place: -1, passed };
}

/** When each load is through. */
async function passThrough({ trunk: rate, lines: rates }: Rates, arrivals: readonly Arrival[]): Promise<readonly number[]> {
  const clock = new VirtualClock();
  const trunk = new Trunk(clock, 8000 * rate);
  const lines = rates.map((line) => new Line(trunk, 8000 * line.rate, 8000 * line.loadRate));
  const through = arrivals.map(({ atMs, bytes, line }) => {
    return new Promise<number>((resolve) => clock.at(atMs, () => lines[line]!.add(load(bytes, () => clock.at(0, () => resolve(clock.nowMs()))))));
  });
  return clock.runUntil(Promise.all(through));
}

interface Pending extends Arrival {
  readonly index: number;
  left: number;
  rate: number;
}

/** Water filling over all loads at each arrival and end: what `Trunk` comes to without looking at all of them. */
function passThroughPlainly({ trunk, lines }: Rates, arrivals: readonly Arrival[]): readonly number[] {
  const ends: number[] = [];
  const coming = arrivals.map((arrival, index) => ({ ...arrival, index, left: arrival.bytes, rate: 0 })).sort((a, b) => a.atMs - b.atMs);
  let passing: Pending[] = [];
  for (let nowMs = 0; coming.length + passing.length > 0;) {
    share(trunk, lines, passing);
    const endsMs = Math.min(...passing.map(({ left, rate }) => nowMs + left / rate));
    const nextMs = Math.min(endsMs, coming[0]?.atMs ?? Infinity);
    for (const load of passing) load.left -= load.rate * (nextMs - nowMs);
    nowMs = nextMs;
    for (const { index } of passing.filter(({ left }) => left < 1e-6)) ends[index] = nowMs;
    passing = passing.filter(({ left }) => left >= 1e-6);
    while (coming[0]?.atMs === nowMs) passing.push(coming.shift()!);
  }
  return ends;
}

function share(trunk: number, lines: Rates['lines'], passing: readonly Pending[]): void {
  let open = [...passing].map((load) => {
    const { rate, loadRate } = lines[load.line]!;
    return { load, own: Math.min(rate / passing.filter(({ line }) => line === load.line).length, loadRate) };
  });
  for (let left = trunk; open.length > 0;) {
    const level = left / open.length;
    const held = open.filter(({ own }) => own <= level);
    for (const { load, own } of held.length > 0 ? held : open) load.rate = Math.min(own, level);
    if (held.length === 0) return;
    left -= held.reduce((sum, { own }) => sum + own, 0);
    open = open.filter(({ own }) => own > level);
  }
}

test('loads that come and go are through when max-min fair sharing lets them', async () => {
  const rate = fc.integer({ min: 1, max: 40 });
  const scenario = fc.record({
    rates: fc.record({ trunk: rate, lines: fc.array(fc.record({ rate, loadRate: fc.oneof(fc.constant(Infinity), rate) }), { minLength: 4, maxLength: 4 }) }),
    arrivals: fc.array(fc.record({ atMs: fc.nat(60), bytes: fc.integer({ min: 1, max: 500 }), line: fc.nat(3) }), { minLength: 1, maxLength: 25 }),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ rates, arrivals }) => {
      const [ends, expected] = [await passThrough(rates, arrivals), passThroughPlainly(rates, arrivals)];
      for (const [i, atMs] of ends.entries()) expect(atMs).toBeCloseTo(expected[i]!, 4);
    }),
  );
});

test('whatever is on its way, neither a line nor the trunk passes more than its rate, and the trunk stands still only where lines do', async () => {
  const lines = [3, 5, 20].map((rate) => ({ rate, loadRate: Infinity }));
  const arrivals = fc.array(fc.record({ atMs: fc.constant(0), bytes: fc.integer({ min: 1, max: 500 }), line: fc.nat(2) }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(arrivals, fc.integer({ min: 1, max: 40 }), async (loads, trunk) => {
      const ends = await passThrough({ trunk, lines }, loads);
      const bytesBy = (nowMs: number, line?: number) =>
        loads.reduce((sum, load, i) => sum + (ends[i]! <= nowMs && (line === undefined || load.line === line) ? load.bytes : 0), 0);
      for (const nowMs of ends) {
        expect(bytesBy(nowMs)).toBeLessThanOrEqual(trunk * nowMs * (1 + 1e-9));
        for (const [line, { rate }] of lines.entries()) expect(bytesBy(nowMs, line)).toBeLessThanOrEqual(rate * nowMs * (1 + 1e-9));
      }
      const longest = (line: number) => loads.reduce((sum, load) => sum + (load.line === line ? load.bytes : 0), 0) / lines[line]!.rate;
      const total = loads.reduce((sum, { bytes }) => sum + bytes, 0);
      expect(Math.max(...ends)).toBeGreaterThanOrEqual(Math.max(total / trunk, longest(0), longest(1), longest(2)) * (1 - 1e-9));
    }),
  );
});

test('cases by hand', async () => {
  const lines = [2, 10, 10].map((rate) => ({ rate, loadRate: Infinity }));
  // 2 for the slow one; the others share the 10 that are left.
  const all = [0, 1, 2].map((line) => ({ atMs: 0, bytes: 100, line }));
  expect(await passThrough({ trunk: 12, lines }, all)).toEqual([50, 20, 20]);
  // Of two on one line each has half of it, and the whole when it is alone.
  const site = [
    { atMs: 0, bytes: 100, line: 1 },
    { atMs: 10, bytes: 50, line: 1 },
  ];
  expect(await passThrough({ trunk: 1000, lines }, [{ ...site[0]!, bytes: 150 }, site[1]!])).toEqual([20, 20]);
  expect(await passThrough({ trunk: 1000, lines }, site)).toEqual([10, 15]);
  // One connection on a lossy way leaves the rest of its line to the other.
  const lossy = [{ rate: 10, loadRate: 3 }];
  expect(await passThrough({ trunk: 1000, lines: lossy }, [0, 0].map((line) => ({ atMs: 0, bytes: 30, line })))).toEqual([10, 10]);
});

test('a port whose rate Poisson arrivals share: M/G/1 with processor sharing', async () => {
  const rng = createRng(5);
  const rate = 100;
  const load = 0.5;
  const sizes = [20, 180];
  let atMs = 0;
  const meanGapMs = 100 / rate / load;
  const arrivals = Array.from({ length: 20_000 }, () => {
    atMs -= meanGapMs * Math.log(1 - rng.uniform());
    return { atMs, bytes: sizes[rng.below(2)]!, line: 0 };
  });
  const ends = await passThrough({ trunk: rate, lines: [{ rate: 1e9, loadRate: Infinity }] }, arrivals);
  // Whatever the distribution, a load of x bytes stays x / rate / (1 − ρ) on average (Kleinrock 1976, section 4.4).
  for (const bytes of sizes) {
    const stays = arrivals.flatMap((arrival, i) => (arrival.bytes === bytes ? [ends[i]! - arrival.atMs] : []));
    const mean = stays.reduce((sum, ms) => sum + ms, 0) / stays.length;
    expect(mean / (bytes / rate / (1 - load))).toBeCloseTo(1, 1);
  }
});

test('a load that is taken away leaves its share to the others', async () => {
  const clock = new VirtualClock();
  const trunk = new Trunk(clock, 8000 * 10);
  const line = new Line(trunk, 8000 * 10);
  let endedAtMs = 0;
  const gone = load(100, () => expect.unreachable());
  line.add(gone);
  line.add(load(100, () => (endedAtMs = clock.nowMs())));
  clock.at(4, () => line.remove(gone));
  await clock.runUntil(clock.sleep(100, never));
  expect(endedAtMs).toBe(12);
});
