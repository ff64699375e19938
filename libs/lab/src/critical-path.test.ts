import type { RunEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { CriticalPath } from './critical-path.js';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

function pathOf(...rounds: readonly (readonly [computeMs: number, sendMs: number, receiveMs: number])[]): CriticalPath {
  const path = new CriticalPath();
  rounds.forEach(([computeMs, sendMs, receiveMs], round) => path.add({ round, name: 'a', sentAtMs: round, doneAtMs: round + 100, computeMs, exchange: { sendMs, receiveMs }, bytesUp: 1000, bytesDown: 1000 } as Contribution));
  return path;
}

test('computing bounds a round where it is half of it; else the way that takes longer, even where each is less than computing', () => {
  expect(pathOf([50, 20, 30]).mainPart()).toMatchObject({ kind: 'compute', part: 0.5 });
  expect(pathOf([40, 35, 25]).mainPart()).toMatchObject({ kind: 'send', part: 0.35, bitsPerSecond: 8e6 / 35, transferMs: 35 });
  expect(pathOf([40, 25, 35], [10, 0, 0]).mainPart()).toMatchObject({ kind: 'receive', transferMs: 17.5 });
  expect(pathOf().mainPart()).toBeUndefined();
});

test('others wait for who is done last, or all are done at one time', () => {
  const waitedOf = (...doneAtMs: readonly number[]) => {
    const path = new CriticalPath();
    for (const ms of doneAtMs) path.add({ round: 1, name: `at ${ms}`, sentAtMs: 0, doneAtMs: ms, computeMs: ms, exchange: { sendMs: 0, receiveMs: 0 }, bytesUp: 0, bytesDown: 0 } as Contribution);
    return path.mainPart();
  };
  expect(waitedOf(20, 100, 20, 20)).toMatchObject({ name: 'at 100', waited: 0.6, contributions: 4 });
  expect(waitedOf(100, 98, 96)).toMatchObject({ name: 'at 100', waited: 0.02 });
  expect(waitedOf(100)).toMatchObject({ waited: 0 });
});
