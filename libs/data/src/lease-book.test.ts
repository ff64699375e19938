import { LongtailError, type Lease, type SampleRange } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLeaseBook } from './lease-book.js';

/** How often each sample of each epoch was counted. */
class Tally {
  private readonly counts = new Map<string, number>();

  add(ranges: readonly SampleRange[]): void {
    for (const { epoch, start, end } of ranges) {
      for (let i = start; i < end; i++) this.counts.set(`${epoch}/${i}`, (this.counts.get(`${epoch}/${i}`) ?? 0) + 1);
    }
  }

  get size(): number {
    return this.counts.size;
  }

  get most(): number {
    return Math.max(0, ...this.counts.values());
  }
}

const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lease' as const), samples: fc.integer({ min: 1, max: 12 }) }) },
  fc.record({ do: fc.constantFrom('apply' as const, 'giveBack' as const, 'lose' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('applyPartly' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('crash' as const) }),
);

test('under any interleaving each sample is applied exactly once or lost, and none that was applied in part comes back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 23 }),
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.integer({ min: 1, max: 60 })),
      fc.array(action, { maxLength: 60 }),
      (samplesPerEpoch, epochs, maxSamples, actions) => {
        const options = { samplesPerEpoch, epochs, maxSamples: maxSamples ?? undefined };
        let book = createLeaseBook(options);
        let open: Lease[] = [];
        const counted = new Tally();
        const partly = new Set<Lease>();
        const total = Math.min(samplesPerEpoch * epochs, maxSamples ?? Infinity);

        const close = (verb: 'apply' | 'giveBack' | 'lose', pick: number): void => {
          if (open.length === 0) return;
          const chosen = pick % open.length;
          if (verb === 'giveBack' && partly.has(open[chosen]!)) {
            expect(() => book.giveBack(open[chosen]!.id)).toThrow(/applied in part/);
            return;
          }
          const [lease] = open.splice(chosen, 1);
          book[verb](lease.id);
          if (verb !== 'giveBack') counted.add(lease.ranges);
          expect(() => book[verb](lease.id)).toThrow(/not open/);
        };

        for (const step of actions) {
          if (step.do === 'lease') {
            const lease = book.lease('worker', step.samples);
            if (lease) open.push(lease);
            else expect(book.totals().free).toBe(0);
          } else if (step.do === 'applyPartly') {
            const lease = open[step.pick % open.length];
            if (lease !== undefined) book.applyPartly(lease.id);
            if (lease !== undefined) partly.add(lease);
          } else if (step.do === 'crash') {
            const before = book.totals().lost;
            const halfway = open.filter((lease) => partly.has(lease));
            for (const { ranges } of halfway) counted.add(ranges);
            book = createLeaseBook({ ...options, state: JSON.parse(JSON.stringify(book.snapshot())) });
            expect(book.totals().lost - before).toBe(halfway.reduce((sum, { samples }) => sum + samples, 0));
            open = [];
          } else close(step.do, step.pick);
          const totals = book.totals();
          expect(totals.applied + totals.lost + totals.leased + totals.free).toBe(totals.total);
          expect(totals.total).toBe(total);
          expect(totals.leased).toBe(open.reduce((sum, lease) => sum + lease.samples, 0));
        }

        while (open.length > 0) close('apply', 0);
        for (let lease = book.lease('last', 5); lease; lease = book.lease('last', 5)) {
          book.apply(lease.id);
          counted.add(lease.ranges);
        }
        expect(counted.size).toBe(total);
        expect(counted.most).toBe(1);
      },
    ),
  );
});

test('a lease is as large as asked while samples are free, and its ranges lie inside their epochs', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (samplesPerEpoch, epochs, wanted) => {
        const book = createLeaseBook({ samplesPerEpoch, epochs });
        for (const samples of wanted) {
          const free = book.totals().free;
          const lease = book.lease('worker', samples);
          expect(lease?.samples ?? 0).toBe(Math.min(samples, free));
          for (const { epoch, start, end } of lease?.ranges ?? []) {
            expect(epoch).toBeLessThan(epochs);
            expect(start).toBeLessThan(end);
            expect(end).toBeLessThanOrEqual(samplesPerEpoch);
          }
        }
      },
    ),
  );
});

test('what came back is handed out before fresh samples, oldest first', () => {
  const book = createLeaseBook({ samplesPerEpoch: 10, epochs: 1 });
  const a = book.lease('a', 3)!;
  const b = book.lease('b', 3)!;
  book.giveBack(b.id);
  book.giveBack(a.id);
  expect(book.lease('c', 4)!.ranges).toEqual([{ epoch: 0, start: 0, end: 4 }]);
  expect(book.lease('d', 4)!.ranges).toEqual([{ epoch: 0, start: 4, end: 8 }]);
});

test('a lease crosses into the next epoch only at the end of one', () => {
  const book = createLeaseBook({ samplesPerEpoch: 5, epochs: 2 });
  book.lease('a', 3);
  expect(book.lease('b', 4)!.ranges).toEqual([
    { epoch: 0, start: 3, end: 5 },
    { epoch: 1, start: 0, end: 2 },
  ]);
});

test('fractions of an epoch count', () => {
  expect(createLeaseBook({ samplesPerEpoch: 100, epochs: 0.25 }).totals().total).toBe(25);
});

test.each([
  ['another data set', { samplesPerEpoch: 9 }],
  ['another count of epochs', { epochs: 7 }],
  ['a cursor behind the end', { cursor: { epoch: 9, position: 0 } }],
  [
    'ranges that overlap',
    {
      returned: [
        { epoch: 0, start: 0, end: 3 },
        { epoch: 0, start: 2, end: 4 },
      ],
    },
  ],
  ['a sum that is wrong', { applied: 3 }],
])('a snapshot of %s is refused', (_, change) => {
  const book = createLeaseBook({ samplesPerEpoch: 10, epochs: 2 });
  book.apply(book.lease('a', 4)!.id);
  const state = { ...book.snapshot(), ...change };
  expect(() => createLeaseBook({ samplesPerEpoch: 10, epochs: 2, state })).toThrow(LongtailError);
});
