import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { Watchlist } from './watchlist.js';

/** What a watchlist sees of a group. */
interface Standing {
  rounds: number;
  task: { expectedMs: number | undefined; deliveredAtMs: number | undefined } | undefined;
}

const groupsOf = (count: number) => Array.from({ length: count }, () => ({ rounds: 0, task: undefined }) as Standing as unknown as Group);
const at = (groups: readonly Group[], index: number) => groups[index % groups.length] as unknown as Standing;

const happenings = fc.array(
  fc.record({ what: fc.constantFrom('given', 'delivered', 'ended', 'passed' as const), group: fc.nat({ max: 40 }), ms: fc.integer({ min: 1, max: 50 }) }),
  { maxLength: 200 },
);

test('whoever got a task, has none, or has delivered is looked at, and whoever else when it is time; of all the least clock is known', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), happenings, (count, events) => {
      const groups = groupsOf(count);
      const list = new Watchlist();
      const due = new Map<Standing, number>();
      let nowMs = 0;
      for (const { what, group, ms } of events) {
        const one = at(groups, group);
        nowMs += ms;
        if (what === 'given' && one.task === undefined) one.task = { expectedMs: ms, deliveredAtMs: undefined };
        else if (what === 'delivered' && one.task !== undefined) one.task.deliveredAtMs ??= nowMs;
        else if (what === 'ended' && one.task !== undefined) one.task = undefined;
        else if (what !== 'passed' || one.task !== undefined) continue;
        if (what === 'ended' || what === 'passed') one.rounds++;
        due.delete(one);
        if (what !== 'passed') list.stir(one as unknown as Group);

        const looked = list.look(groups, nowMs) as unknown as readonly Standing[];
        const all = groups as unknown as readonly Standing[];
        expect(looked).toEqual(all.filter((member) => (due.get(member) ?? -Infinity) <= nowMs));
        expect(list.groups).toBe(count);
        expect(list.leastRounds).toBe(Math.min(...all.map(({ rounds }) => rounds)));
        const wakeAtMs = nowMs + (group % 4) * ms;
        list.decided(wakeAtMs);
        for (const member of looked) if (member.task !== undefined && member.task.deliveredAtMs === undefined) due.set(member, wakeAtMs);
        expect(list.wakeAtMs).toBe(due.size === 0 ? undefined : Math.min(...due.values()));
      }
    }),
  );
});

test('who may not proceed is looked at when the slowest has gone on, and who may each time', () => {
  const groups = groupsOf(3).map((group, i) => ({ ...group, id: `g${i}` }) as Group);
  const list = new Watchlist();
  const step = (index: number) => {
    at(groups, index).rounds++;
    list.stir(groups[index]!);
  };
  const looked = (proceed?: readonly string[]) => {
    const ids = list.look(groups, 0).map(({ id }) => id);
    list.decided(undefined, proceed && new Set(proceed));
    return ids;
  };
  at(groups, 2).task = { expectedMs: undefined, deliveredAtMs: undefined };
  step(0);
  expect(looked()).toEqual(['g0', 'g1', 'g2']);
  expect(looked(['g1'])).toEqual(['g0', 'g1']);
  expect(looked(['g1'])).toEqual(['g1']);
  step(1);
  expect(looked([])).toEqual(['g1']);
  expect(looked([])).toEqual([]);
  step(2);
  expect(looked(['g0', 'g1'])).toEqual(['g0', 'g1', 'g2']);
});

test('where nothing says when to look again, something must happen', () => {
  const groups = groupsOf(2);
  const list = new Watchlist();
  for (const index of [0, 1]) at(groups, index).task = { expectedMs: undefined, deliveredAtMs: undefined };
  expect(list.look(groups, 0)).toHaveLength(2);
  list.decided(undefined);
  expect(list.wakeAtMs).toBeUndefined();
  expect(list.look(groups, 1e9)).toEqual([]);
  expect(list.usualMs).toBeUndefined();
});

test('other groups than before are all looked at', () => {
  const list = new Watchlist();
  const groups = groupsOf(3);
  for (const group of groups) (group as unknown as Standing).task = { expectedMs: 1, deliveredAtMs: undefined };
  list.look(groups, 0);
  list.decided(10);
  expect(list.look(groups, 5)).toEqual([]);
  expect(list.look(groups.slice(1), 5)).toHaveLength(2);
});

test('what is usual is the lower median of what is expected now, found out anew once an eighth of all was looked at', () => {
  const groups = groupsOf(80);
  const list = new Watchlist();
  for (const [i, group] of groups.entries()) (group as { task: unknown }).task = { expectedMs: i, deliveredAtMs: undefined } as unknown as GroupTask;
  list.look(groups, 0);
  list.decided(1e9);
  expect(list.usualMs).toBe(39);
  for (const group of groups) (group as unknown as Standing).task!.expectedMs = 7;
  expect(list.usualMs).toBe(39);
  for (let looks = 0; looks < 10; looks++) {
    list.stir(groups[looks]!);
    list.look(groups, 1);
    list.decided(1e9);
  }
  expect(list.usualMs).toBe(7);
});
