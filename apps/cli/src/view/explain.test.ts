import type { Compared, PlanComparison } from '@longtail/store';
import { expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { explainLines } from './explain.js';

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
});
const figures = { samples: of(32, 30), stepMs: of(240, 480), exchangeMs: of(10, 20), bubble: of(0.1, 0.4) };
const comparison: PlanComparison = {
  plan: { model: 'pair' } as PlanComparison['plan'],
  rounds: 20,
  warmUp: 5,
  roundMs: of(250, 500),
  samplesPerSecond: of(192, 96),
  bytesUp: of(3000, 3000),
  bytesDown: of(3000, 3000),
  groups: [
    { number: 1, kind: 'pipeline', ...figures, stages: [[device('front', 2 ** 21)], [device('back', NaN)]] },
    { number: 2, kind: 'solo', ...figures, stages: [[device('lone', 2 ** 20)]] },
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
  expect(lines.at(-1)).toBe('A round takes 100 % more than planned.');
});
