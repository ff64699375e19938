import type { Schedule } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cappedOneForwardOneBackward } from './capped.js';
import { checkSchedule } from './check.js';
import { createSchedule } from './create.js';
import { gpipe } from './gpipe.js';
import { interleaved } from './interleaved.js';
import { listActions } from './lists.js';
import { lowerBound } from './lower-bound.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { simulatePipeline } from './simulate.js';
import { stagesOf } from './testing/arbitraries.js';
import { zeroBubble } from './zero-bubble.js';

const limits = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 8, maxLength: 8 });
const chunks = fc.integer({ min: 1, max: 4 });

/** How many undelivered messages each of them may need an edge to hold: one, but where caps fall by more than one. */
const families: Record<string, { schedule: fc.Arbitrary<Schedule>; buffers: number }> = {
  gpipe: { schedule: fc.constant(gpipe()), buffers: 1 },
  '1f1b': { schedule: fc.constant(oneForwardOneBackward()), buffers: 1 },
  interleaved: { schedule: chunks.map((count) => interleaved({ chunks: count })), buffers: 1 },
  'zero-bubble': { schedule: fc.constant(zeroBubble()), buffers: 1 },
  '1f1b of limited memory': { schedule: limits.map((maxStash) => oneForwardOneBackward({ maxStash })), buffers: 12 },
  'zero-bubble of limited memory': { schedule: limits.map((maxStash) => zeroBubble({ maxStash })), buffers: 12 },
  capped: { schedule: fc.constant(cappedOneForwardOneBackward()), buffers: 32 },
  'capped, backward split': { schedule: fc.constant(cappedOneForwardOneBackward({ splitBackward: true })), buffers: 32 },
  'capped of limited memory': {
    schedule: fc.tuple(limits, fc.boolean()).map(([maxStash, splitBackward]) => cappedOneForwardOneBackward({ maxStash, splitBackward })),
    buffers: 12,
  },
};

const pipelines = (family: fc.Arbitrary<Schedule>) =>
  fc
    .record({ schedule: family, workers: fc.integer({ min: 1, max: 8 }), microbatches: fc.integer({ min: 1, max: 32 }) })
    .chain((shape) => stagesOf(shape.workers * shape.schedule.chunks).map((stages) => ({ ...shape, stages })));

test.each(Object.entries(families))(
  '%s: each action once, in an order that cannot deadlock, within the stash declared and above the lower bound',
  (_name, { schedule: family, buffers }) => {
    fc.assert(
      fc.property(pipelines(family), ({ schedule, stages, microbatches }) => {
        const lists = listActions(schedule, stages, microbatches);
        const stashCaps = lists.map((_, rank) => schedule.stashCap(rank, stages, microbatches));
        const check = checkSchedule(lists, { stages: stages.length, microbatches, stashCaps });
        expect(check).toMatchObject({ ok: true });
        if (check.ok) expect(check.buffers).toBeLessThanOrEqual(buffers);
        expect(lists.flat().some(({ op }) => op === 'I')).toBe(schedule.splitsBackward);

        const trace = simulatePipeline(lists, stages);
        expect(trace.makespanMs).toBeGreaterThanOrEqual(lowerBound(stages, microbatches, schedule) * (1 - 1e-9));
        trace.ranks.forEach(({ peakStash }, rank) => expect(peakStash).toBeLessThanOrEqual(stashCaps[rank]!));
      }),
      { numRuns: 60 },
    );
  },
);

test.each([
  ['1f1b', oneForwardOneBackward],
  ['zero-bubble', zeroBubble],
  ['capped-1f1b', cappedOneForwardOneBackward],
] as const)('%s: no worker stashes more than it has memory for, and a limit beyond what is needed changes nothing', (_name, create) => {
  fc.assert(
    fc.property(
      pipelines(limits.map((maxStash) => create({ maxStash }))).chain((one) => fc.tuple(fc.constant(one), limits)),
      ([one, maxStash]) => {
        const { stages, microbatches } = one;
        const limited = create({ maxStash });
        stages.forEach((_, rank) => expect(limited.stashCap(rank, stages, microbatches)).toBeLessThanOrEqual(maxStash[rank]!));
        const { makespanMs } = simulatePipeline(listActions(limited, stages, microbatches), stages);
        expect(makespanMs).toBeGreaterThanOrEqual(lowerBound(stages, microbatches, { ...limited, maxStash }) * (1 - 1e-9));
        const roomy = create({ maxStash: stages.map(() => microbatches) });
        expect(listActions(roomy, stages, microbatches)).toEqual(listActions(create(), stages, microbatches));
      },
    ),
    { numRuns: 30 },
  );
});

test('a worker without room for one stash is refused', () => {
  const stages = fc.sample(stagesOf(2), { numRuns: 1, seed: 1 })[0]!;
  for (const create of [oneForwardOneBackward, zeroBubble, cappedOneForwardOneBackward]) {
    expect(() => create({ maxStash: [2, 0] }).actions(1, stages, 4)).toThrow('worker 1 has room for 0 stashes');
  }
});

test('stages that do not fill the chunks are refused', () => {
  const stages = fc.sample(stagesOf(5), { numRuns: 1, seed: 1 })[0]!;
  expect(() => listActions(interleaved({ chunks: 2 }), stages, 4)).toThrow('interleaved: 5 stages in chunks of 2 a worker');
});

test.each(['gpipe', '1f1b', 'capped-1f1b', 'interleaved', 'zero-bubble'] as const)('%s is created by its name', (name) => {
  expect(createSchedule(name).name).toBe(name);
});

test('options reach the schedule', () => {
  const stages = fc.sample(stagesOf(4), { numRuns: 1, seed: 1 })[0]!;
  expect(createSchedule('interleaved', { chunks: 4 }).chunks).toBe(4);
  expect(createSchedule('capped-1f1b', { splitBackward: true }).splitsBackward).toBe(true);
  for (const name of ['1f1b', 'capped-1f1b', 'zero-bubble'] as const) {
    expect(createSchedule(name, { maxStash: [1, 1, 1, 1] }).stashCap(0, stages, 8)).toBe(1);
  }
});
