import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SharedLine } from './shared-line.js';
import { Speed } from './speed.js';

const GROUPS = 12;

/** Groups behind one line, as rounds of so many of them find it; `exchangeMs`: of a group in the round. */
class Fleet {
  readonly line = new SharedLine();
  private readonly speeds = Array.from({ length: GROUPS }, () => Speed.measured(1000, this.line));

  round(groups: number, exchangeMs: (group: number) => number): void {
    this.line.groups = groups;
    for (let i = 0; i < groups; i++) this.speeds[i]!.delivered({ samples: 10, computeMs: 10, elapsedMs: 10 + exchangeMs(i) });
    this.line.settle();
  }
}

const own = fc.array(fc.double({ min: 50, max: 500, noNaN: true }), { minLength: GROUPS, maxLength: GROUPS });
const noise = fc.array(fc.double({ min: 0.95, max: 1.05, noNaN: true }), { minLength: 500, maxLength: 500 });
const each = fc.double({ min: 50, max: 500, noNaN: true });

test('what each group adds is found from two rounds of different numbers, whatever each has for itself', () => {
  fc.assert(
    fc.property(own, each, noise, (ownMs, msEach, factors) => {
      const fleet = new Fleet();
      let next = 0;
      const exchange = (groups: number) => (i: number) => (ownMs[i]! + groups * msEach) * factors[next++]!;
      // The first exchange of all is of a task that is not known yet.
      for (const groups of [GROUPS, GROUPS, 4]) fleet.round(groups, exchange(groups));
      expect(fleet.line.msEach / msEach).toBeGreaterThan(0.7);
      expect(fleet.line.msEach / msEach).toBeLessThan(1.3);
    }),
  );
});

test('groups that share nothing add nothing, but noise', () => {
  fc.assert(
    fc.property(own, noise, (ownMs, factors) => {
      const fleet = new Fleet();
      let next = 0;
      for (const groups of [GROUPS, GROUPS, 4, 8, 4, 8]) fleet.round(groups, (i) => ownMs[i]! * factors[next++]!);
      expect(fleet.line.msEach).toBeLessThan(0.05 * Math.max(...ownMs));
    }),
  );
});

test('a round that is held up moves little, a line that becomes another one is followed', () => {
  const fleet = new Fleet();
  const on = (msEach: number, more = 0) => (groups: number) => fleet.round(groups, () => 100 + groups * msEach + more);
  for (const groups of [8, 8, 4, 8, 4]) on(50)(groups);
  expect(fleet.line.msEach).toBe(50);
  on(50, 5000)(8);
  on(50)(4);
  expect(fleet.line.msEach).toBe(50);
  for (let i = 0; i < 4; i++) for (const groups of [8, 4]) on(200)(groups);
  expect(fleet.line.msEach).toBeGreaterThan(150);
});

test('groups add no more than their exchanges take', () => {
  const fleet = new Fleet();
  for (const [groups, ms] of [[8, 8000], [8, 8000], [4, 100], [4, 100], [4, 100]] as const) fleet.round(groups, () => ms);
  expect(fleet.line.msEach).toBeLessThanOrEqual(100 / 4);
});

test('before there was a difference nothing is known', () => {
  const fleet = new Fleet();
  for (let i = 0; i < 5; i++) fleet.round(8, () => 1000);
  expect(fleet.line.msEach).toBe(0);
});
