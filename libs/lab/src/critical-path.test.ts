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

test('who is last most is a straggler where it is slower than the others and computes longer than they do, not where it happens to be the last of a round', () => {
  const pathOfTwo = (...rounds: readonly (readonly { readonly samples: number; readonly ms: number }[])[]) => {
    const path = new CriticalPath();
    for (const [round, both] of rounds.entries())
      for (const [i, { samples, ms }] of both.entries())
        path.add({ round, name: 'ab'[i], samples, sentAtMs: 0, doneAtMs: ms, computeMs: ms, exchange: { sendMs: 0, receiveMs: 0 }, bytesUp: 0, bytesDown: 0 } as Contribution);
    return path.mainPart();
  };
  const equal = [{ samples: 10, ms: 100 }, { samples: 10, ms: 200 }];
  expect(pathOfTwo(equal, equal)).toMatchObject({ name: 'b', straggles: true, last: 1 });
  // The faster one takes more samples, and speeds vary.
  expect(pathOfTwo([{ samples: 20, ms: 240 }, { samples: 10, ms: 160 }], [{ samples: 20, ms: 160 }, { samples: 10, ms: 220 }], [{ samples: 20, ms: 220 }, { samples: 10, ms: 180 }])).toMatchObject({ name: 'a', straggles: false, last: 2 / 3 });
  const slowByChance = [{ samples: 20, ms: 160 }, { samples: 10, ms: 220 }];
  expect(pathOfTwo(slowByChance, slowByChance, [{ samples: 20, ms: 300 }, { samples: 10, ms: 160 }])).toMatchObject({ name: 'b', straggles: false });
  // Of local steps it takes one more than fit into the other's time.
  const coarse = [{ samples: 30, ms: 300 }, { samples: 10, ms: 160 }];
  expect(pathOfTwo(coarse, coarse)).toMatchObject({ name: 'a', straggles: false, last: 1 });
});
