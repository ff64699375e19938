import type { AccessEntries, IdentityEntry } from '@longtail/core';
import type { FollowAccess } from '@longtail/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessFollowing, AccessIntake, type FollowedAccess } from './access-following.js';
import type { StandbyWay } from './following.js';
import { clockOf } from './testing/clock.js';

const identity = (id: string, revoked = false): IdentityEntry => ({ id, role: 'node', name: id, token: '', enrolledAtMs: 0, expiresAtMs: 1, revoked });

/** A server's book and the way to its standby, whose time is the test's. */
function setUp(enrolled: readonly IdentityEntry[] = []) {
  const book = new Map(enrolled.map((entry) => [entry.id, entry]));
  let tell!: Parameters<FollowedAccess['follow']>[0];
  const access: FollowedAccess = { list: () => ({ tokens: [], identities: [...book.values()] }), follow: (follower) => (tell = follower) };
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();
  const clock = clockOf({
    nowMs: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const timer = { atMs: nowMs + ms, fire: resolve };
        timers.add(timer);
        signal.addEventListener('abort', () => (timers.delete(timer), reject(signal.reason as Error)));
      }),
  });
  let late = 0;
  const following = new AccessFollowing({ clock, access, behind: () => late++ });
  return {
    following,
    get late() {
      return late;
    },
    /** Resolves when whoever asked for the change hears of it. */
    change(entry: IdentityEntry): Promise<void> {
      book.set(entry.id, entry);
      return tell({ identities: [entry] });
    },
    pass(ms: number): void {
      nowMs += ms;
      for (const timer of timers) if (timer.atMs <= nowMs && timers.delete(timer)) timer.fire();
    },
    attach() {
      const ended = new AbortController();
      const sent: FollowAccess[] = [];
      const way: StandbyWay = {
        address: 'standby:1',
        signal: ended.signal,
        send: (message) => void sent.push((message as { followAccess: FollowAccess }).followAccess),
        sendTensor: () => Promise.resolve(),
      };
      following.attach(way);
      return { sent, cut: () => ended.abort(new Error('cut')) };
    },
    entries: (): readonly IdentityEntry[] => [...book.values()],
  };
}

/** Whoever waits has had a turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await turn();
  return settled;
}

describe('a change of whom the server lets in', () => {
  it('is told to nobody before the standby has it', async () => {
    const { following, change, attach } = setUp();
    const { sent } = attach();
    following.confirmed(sent.at(-1)!.part);
    const told = change(identity('a'));
    expect(await isSettled(told)).toBe(false);
    expect(following.inStep).toBe(false);
    following.confirmed(sent.at(-1)!.part);
    await told;
    expect(following.inStep).toBe(true);
  });

  it('waits two seconds for it, and the next ones not at all until it has them', async () => {
    const server = setUp();
    const { sent } = server.attach();
    const first = server.change(identity('a'));
    server.pass(1999);
    expect(await isSettled(first)).toBe(false);
    server.pass(1);
    await first;
    await server.change(identity('b'));
    expect([server.late, server.following.inStep]).toEqual([2, false]);
    server.following.confirmed(sent.at(-1)!.part);
    const third = server.change(identity('c'));
    expect(await isSettled(third)).toBe(false);
    server.following.confirmed(sent.at(-1)!.part);
    await third;
    expect(server.late).toBe(2);
  });

  it('waits for none that is gone, or was never there', async () => {
    const server = setUp();
    await server.change(identity('a'));
    const { cut } = server.attach();
    const told = server.change(identity('b'));
    await turn();
    cut();
    await told;
    expect(server.late).toBe(0);
  });
});

it('gives a standby all of it, in parts that count together, and whatever changes, over as many connections as it takes', async () => {
  const step = fc.oneof({ weight: 4, arbitrary: fc.record({ id: fc.nat(2500), revoked: fc.boolean() }) }, { weight: 1, arbitrary: fc.constant('reconnect' as const) }, fc.constant('deliver' as const));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(0, 1, 1000, 2001), fc.array(step, { maxLength: 30 }), async (enrolled, steps) => {
      const server = setUp(Array.from({ length: enrolled }, (_, id) => identity(String(id))));
      let held = new Map<string, IdentityEntry>();
      const hold = ({ identities }: AccessEntries, anew: boolean) => {
        if (anew) held = new Map();
        for (const entry of identities) held.set(entry.id, entry);
      };
      let way = server.attach();
      let intake = new AccessIntake(hold);
      const deliver = () => {
        for (const message of way.sent.splice(0)) if (intake.take(message)) server.following.confirmed(message.part);
      };
      // One after the other, as the book makes them.
      let changing = Promise.resolve();
      for (const step of steps) {
        await turn();
        if (step === 'deliver') deliver();
        else if (step !== 'reconnect') changing = changing.then(() => server.change(identity(String(step.id), step.revoked)));
        else {
          // Some of what was on its way may have come.
          for (const message of way.sent.splice(0, way.sent.length >> 1)) intake.take(message);
          way.cut();
          way = server.attach();
          intake = new AccessIntake(hold);
        }
      }
      do deliver();
      while (!(await isSettled(changing)));
      expect([...held.values()].sort((a, b) => Number(a.id) - Number(b.id))).toEqual([...server.entries()].sort((a, b) => Number(a.id) - Number(b.id)));
      expect(server.following.inStep).toBe(true);
    }),
    { numRuns: 50 },
  );
});
