import type { Schedule } from '@longtail/core';
import { expect, test } from 'vitest';
import { Group } from './group.js';
import type { Member } from './member.js';
import { passesOf, stashCapOf } from './passes.js';
import type { RunCore } from './run-core.js';

/** All forward, then all backward. */
const schedule: Schedule = {
  name: 'gpipe',
  chunks: 1,
  splitsBackward: false,
  actions: (stage, _stages, microbatches) =>
    (['F', 'B'] as const).flatMap((op) => Array.from({ length: microbatches }, (_, microbatch) => ({ op, stage, microbatch }))),
  stashCap: (_rank, _stages, microbatches) => microbatches,
};
const core = { dependencies: { schedule: () => schedule }, job: { train: { batch: 40 }, sync: { strategy: 'bsp' } } } as unknown as RunCore;

const member = (node: string, samplesPerSecond: number) => ({ node, name: node, prepared: { ready: { samplesPerSecond } } }) as unknown as Member;
const group = (maxStash?: readonly number[]) => {
  const stages = [
    { blocks: { start: 0, end: 1 }, nodes: ['a'] },
    { blocks: { start: 1, end: 2 }, nodes: ['b', 'c', 'd'] },
  ];
  return new Group('p1', { stages, microbatch: 4, schedule: 'gpipe', maxStash }, [member('a', 100), member('b', 80), member('c', 40), member('d', 40)]);
};

test('replicas of a stage that nobody planned make room for their share of its stashes, and are not dealt more', () => {
  const unplanned = group();
  expect([0, 1].map((stage) => stashCapOf(core, unplanned, stage))).toEqual([10, 4]);
  const passes = passesOf(core, unplanned, 40)!;
  const held = unplanned.members.map((holder) => passes.actionsOf(holder).filter(({ op }) => op === 'F').length);
  expect(held[0]).toBe(10);
  expect(held.slice(1).reduce((sum, count) => sum + count, 0)).toBe(10);
  expect(Math.max(...held.slice(1))).toBeLessThanOrEqual(4);
});

test('a plan may have room for more', () => {
  expect([0, 1].map((stage) => stashCapOf(core, group([10, 6]), stage))).toEqual([10, 6]);
});
