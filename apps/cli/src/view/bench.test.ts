import type { BenchArm, BenchResult } from '@longtail/core';
import { expect, test } from 'vitest';
import { benchLines } from './bench.js';
import { NO_COLORS } from './colors.js';

const refused = (name: string, seed: number, knob: string, reason: string): BenchArm => ({ name, settings: {}, seed, knob, outcome: { status: 'refused', reason } });

test('a reason is told once an arm, with the seeds and values that have it where others have another one', () => {
  const arms = [
    ...[1, 2].flatMap((seed) => ['5', '50'].map((knob) => refused('ssp', seed, knob, 'has no such field'))),
    refused('bsp', 1, '5', 'too large'),
    refused('bsp', 2, '5', 'too large'),
    refused('bsp', 1, '50', 'no memory'),
  ];
  const result: BenchResult = { version: 2, scenario: 'small', description: '', mode: 'timing', nodes: [], links: [], sweep: { knob: 'train.batch', values: ['5', '50'] }, arms };
  expect(benchLines(result, 'report.html', NO_COLORS)).toEqual([
    'small: 0 machines, mode timing, train.batch from 5 to 50',
    '',
    'ssp cannot run: has no such field',
    'bsp, 5, seed 1; bsp, 5, seed 2 cannot run: too large',
    'bsp, 50, seed 1 cannot run: no memory',
    'report  report.html',
  ]);
});
