import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VirtualClock } from './virtual-clock.js';

const never = new AbortController().signal;

test('events run in order of time, then of scheduling, and time stands still in between', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 40 }), async (times) => {
      const clock = new VirtualClock();
      const seen: [number, number][] = [];
      const sleepers = times.map((ms, i) => clock.sleep(ms, never).then(() => seen.push([clock.nowMs(), i])));
      await clock.runUntil(Promise.all(sleepers));
      const expected = times.map((ms, i): [number, number] => [ms, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      expect(seen).toEqual(expected);
    }),
    { numRuns: 30 },
  );
});

test('every promise settles before time passes', async () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  const chain = async () => {
    await clock.sleep(5, never);
    for (let i = 0; i < 50; i++) await Promise.resolve();
    seen.push(`chain at ${clock.nowMs()}`);
  };
  await clock.runUntil(Promise.all([chain(), clock.sleep(5.001, never).then(() => seen.push('later'))]));
  expect(seen).toEqual(['chain at 5', 'later']);
});

test('an aborted sleep rejects at once with the reason', async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  clock.at(3, () => stop.abort(new Error('stop')));
  const outcome = clock.sleep(100, stop.signal).catch((error: Error) => `${error.message} at ${clock.nowMs()}`);
  expect(await clock.runUntil(outcome)).toBe('stop at 3');
});

test('a deadlock, a livelock and a limit are errors, not endless tests', async () => {
  const stuck = new VirtualClock();
  await expect(stuck.runUntil(new Promise(() => undefined))).rejects.toThrow('deadlock at 0 ms');
  const spinning = new VirtualClock();
  const spin = () => void spinning.at(0, spin);
  spin();
  await expect(spinning.runUntil(new Promise(() => undefined))).rejects.toThrow('livelock at 0 ms');
  const slow = new VirtualClock();
  await expect(slow.runUntil(slow.sleep(100, never), 50)).rejects.toThrow('not done within its limit of 50 ms of virtual time');
});

test('time stands still for work outside', async () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  const outside = clock.outsideWork(new Promise<void>((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve)))));
  const both = Promise.all([
    outside.then(() => seen.push(`work at ${clock.nowMs()}`)),
    clock.sleep(1, never).then(() => seen.push('sleep')),
  ]);
  await clock.runUntil(both);
  expect(seen).toEqual(['work at 0', 'sleep']);
});

test('alarms that are set anew and called off ring as a list sorted anew each time has them', async () => {
  const move = fc.record({ alarm: fc.nat(19), atMs: fc.option(fc.nat(30), { nil: undefined }) });
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 120 }), async (moves) => {
      const clock = new VirtualClock();
      const rung: string[] = [];
      const alarms = Array.from({ length: 20 }, (_, i) => clock.at(0, () => rung.push(`${i} at ${clock.nowMs()}`)));
      const expected = alarms.map((_, alarm) => ({ alarm, atMs: 0 }));
      for (const { alarm, atMs } of moves) {
        const known = expected.findIndex((one) => one.alarm === alarm);
        expect(clock.isSet(alarms[alarm]!)).toBe(known >= 0);
        if (known >= 0) expected.splice(known, 1);
        if (atMs === undefined) clock.cancel(alarms[alarm]!);
        else {
          clock.set(alarms[alarm]!, atMs);
          expected.push({ alarm, atMs });
        }
      }
      await clock.runUntil(clock.sleep(31, never));
      expect(rung).toEqual(expected.sort((a, b) => a.atMs - b.atMs).map(({ alarm, atMs }) => `${alarm} at ${atMs}`));
    }),
  );
});
