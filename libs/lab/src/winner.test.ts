import type { BenchArm, BenchOutcome } from '@longtail/core';
import { expect, test } from 'vitest';
import { winnerOf } from './winner.js';

const done = (name: string, samplesPerSecond: number, knob: string): BenchArm => {
  const outcome = { status: 'done', bottleneck: 'compute', summary: { samplesPerSecond } } as unknown as BenchOutcome;
  return { name, settings: {}, seed: 1, knob, outcome };
};
const refused = (name: string, knob: string): BenchArm => ({ name, settings: {}, seed: 1, knob, outcome: { status: 'refused', reason: 'none' } });

test('values of the knob that no arm can have take nobody out of the contest', () => {
  const arms = [done('bsp', 10, '64'), refused('bsp', 'foo'), done('asp', 20, '64'), refused('asp', 'foo')];
  expect(winnerOf(arms, undefined)).toEqual({ arm: 'asp', reason: '20 samples/s, 2.00 times as fast as bsp (compute); its bottleneck is compute' });
});

test('an arm that cannot have a value which another one can is not the best', () => {
  const arms = [done('bsp', 10, '64'), done('bsp', 10, '128'), done('asp', 20, '64'), refused('asp', '128')];
  expect(winnerOf(arms, undefined)!.arm).toBe('bsp');
});

test('a target that nobody reached is told of, and seeds only where there are several', () => {
  const short = (name: string, seed: number, finalLoss: number): BenchArm => {
    const outcome = { status: 'done', bottleneck: 'compute', summary: { samplesPerSecond: 10, finalLoss } } as unknown as BenchOutcome;
    return { name, settings: {}, seed, outcome };
  };
  expect(winnerOf([short('bsp', 1, 0.5), short('asp', 1, 0.6)], 0.4)).toEqual({ arm: 'bsp', reason: 'no arm reaches a loss of 0.4; its own is the lowest, 0.500' });
  expect(winnerOf([short('bsp', 1, 0.5), short('bsp', 2, 0.7)], 0.4)!.reason).toBe('no arm reaches a loss of 0.4 with every seed; its own is the lowest, 0.600');
});

test('where none ran throughout, or two are alike, it says so', () => {
  expect(winnerOf([done('bsp', 10, '64'), refused('bsp', '128'), refused('asp', '64'), done('asp', 20, '128')], undefined)).toEqual({
    arm: 'asp',
    reason: 'no arm ran with every seed and value; where it did it is the fastest, 20 samples/s',
  });
  expect(winnerOf([done('bsp', 64_430, '64')], undefined)!.reason).toMatch(/^64\.4k samples\/s;/);
  expect(winnerOf([done('bsp', 10, '64'), done('asp', 10.01, '64')], undefined)!.reason).toContain('samples/s, as fast as bsp');
  expect(winnerOf([refused('bsp', '64')], undefined)).toBeUndefined();
});
