import type { StoredEvent } from '@longtail/core';
import type { Compared, PlanComparison } from '@longtail/store';
import { expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { explainLines, measuredLines, measuredRun } from './explain.js';

const of = (planned: number, measured: number): Compared => ({ planned, measured });
const device = (name: string, memory: number) => ({
  node: `n-${name}`,
  name,
  blocks: [[name, name]] as const,
  passMs: of(20, 30),
  computeMs: of(200, 300),
  utilisation: of(0.8, 0.6),
  memoryBytes: of(2 ** 20, memory),
  bytesUp: of(1000, 1000),
  bytesDown: of(1000, 1000),
  exchange: undefined,
});
const exchange = { receiveMs: of(8, 16), encodeMs: of(NaN, 1), sendMs: of(30, 90), waitMs: of(0, 5), sends: 0.3 };
const figures = { steps: of(1, 1), samples: of(32, 30), stepMs: of(240, 480), exchangeMs: of(10, 20), bubble: of(0.1, 0.4) };
const comparison: PlanComparison = {
  plan: { model: 'pair' } as PlanComparison['plan'],
  number: 1,
  plans: 1,
  rounds: 20,
  warmUp: 5,
  roundMs: of(250, 500),
  samplesPerSecond: of(192, 96),
  bytesUp: of(3000, 3000),
  bytesDown: of(3000, 3000),
  groups: [
    { number: 1, kind: 'pipeline', ...figures, stages: [[device('front', 2 ** 21)], [device('back', NaN)]] },
    { number: 2, kind: 'solo', ...figures, stages: [[{ ...device('lone', 2 ** 20), exchange }]] },
  ],
  deviation: { part: 'compute', ms: of(200, 300), sentence: 'A round takes 100 % more than planned.' },
};

it('shows predicted → measured for the whole, each stage and each group, and what strays furthest', () => {
  const lines = explainLines(comparison, NO_COLORS);
  expect(lines.slice(0, 2)).toEqual([
    'pair: predicted → measured, the median of 20 rounds after 5 to warm up',
    'a round 250 ms → 500 ms (+100 %), 192 → 96 samples/s; a round moves 2.9 KiB → 2.9 KiB up, 2.9 KiB → 2.9 KiB down',
  ]);
  const text = lines.join('\n');
  expect(text).toMatch(/1\.1 +n-front front +front +20 ms → 30 ms +200 ms → 300 ms +80 % → 60 % +1\.0 MiB → 2\.0 MiB/);
  expect(text).toMatch(/1\.2 +n-back back .* 1\.0 MiB → – /);
  expect(text).toMatch(/\n2 +n-lone lone /);
  expect(text).toContain('1: 32 → 30 samples in a step of 240 ms → 480 ms, of which its busiest stage waits 10 % → 40 %; exchange 10 ms → 20 ms');
  expect(text).toContain('2: 32 → 30 samples in a step of 240 ms → 480 ms; exchange');
  expect(text).toMatch(/\n2 +n-lone lone +8 ms → 16 ms +– → 1 ms +30 ms → 90 ms +0 ms → 5 ms +not hidden, 30\.0 % of its time\n/);
  expect(lines.at(-1)).toBe('A round takes 100 % more than planned.');
  expect(explainLines({ ...comparison, number: 2, plans: 3 }, NO_COLORS)[0]).toBe('pair: predicted → measured, the median of 20 rounds after 5 to warm up, under plan 2 of 3, by which most were done');
});

it('says of a run without a plan what was measured, and how many local steps there are and why', () => {
  const reason = 'an exchange of 200 ms is 5 % of a round of 4 s: 76 steps of 50 ms of the fastest';
  const contribution = { event: 'contribution', node: 'n1', name: 'fast', samples: 10, accepted: true, computeMs: 950, bytesUp: 1000, bytesDown: 1000 } as const;
  const told = { ...contribution, exchange: { receiveMs: 20, encodeMs: 3, sendMs: 30, waitMs: 0 }, bytesSaved: 3000 };
  const shares = { event: 'shares', shares: { n1: 76 }, unit: 'local steps', reason } as const;
  const events = (bodies: readonly object[]) => bodies.map((body, i) => ({ seq: i + 1, timeMs: i, body }) as StoredEvent);
  const lines = measuredLines(measuredRun(events([told, shares]))!, NO_COLORS);
  expect(lines[0]).toMatch(/^no plan: every worker held the whole model/);
  expect(lines.join('\n')).toMatch(/fast +95\.0 % +2\.0 % +0\.3 % +3\.0 % +0\.0 % +2\.9 KiB of 3\.9 KiB +hidden, 3\.0 % of its time/);
  expect(lines.at(-1)).toBe(`local steps at the end: fast 76 (${reason})`);
  expect(measuredRun(events([contribution]))).toBeUndefined();
});
