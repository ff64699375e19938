import type { RunEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { CriticalPath } from './critical-path.js';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

function pathOf(...rounds: readonly (readonly [computeMs: number, sendMs: number, receiveMs: number])[]): CriticalPath {
  const path = new CriticalPath();
  rounds.forEach(([computeMs, sendMs, receiveMs], round) => path.add({ round, name: 'a', doneAtMs: round, computeMs, exchange: { sendMs, receiveMs }, bytesUp: 1000, bytesDown: 1000 } as Contribution));
  return path;
}

test('computing bounds a round where it is half of it; else the way that takes longer, even where each is less than computing', () => {
  expect(pathOf([50, 20, 30]).mainPart()).toMatchObject({ kind: 'compute', part: 0.5 });
  expect(pathOf([40, 35, 25]).mainPart()).toMatchObject({ kind: 'send', part: 0.35, bitsPerSecond: 8e6 / 35, transferMs: 35 });
  expect(pathOf([40, 25, 35], [10, 0, 0]).mainPart()).toMatchObject({ kind: 'receive', transferMs: 17.5 });
  expect(pathOf().mainPart()).toBeUndefined();
});
