import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Member } from './member.js';
import { PeerLinks } from './peer-links.js';
import { partyOf, reachable, tournament } from './reachable.js';

const member = (node: string, peerAddress: string, host = '') => ({ node, session: { hello: { peerAddress, host } } }) as unknown as Member;

test('a loopback address is for workers of the same host', () => {
  const [here, there] = [member('a', '127.0.0.1:1', 'h1'), member('b', '127.0.0.1:2', 'h1')];
  expect(reachable(here, there)).toBe(true);
  expect(reachable(member('c', '', 'h2'), there)).toBe(false);
  expect(reachable(member('c', '', ''), member('d', 'localhost:4', ''))).toBe(false);
  expect(reachable(here, member('e', '192.168.1.4:9', 'h3'))).toBe(true);
  expect(reachable(there, member('f', ''))).toBe(false);
});

test('each pair has its turn once, and in no round is a host in two', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('', 'h1', 'h2'), { minLength: 2, maxLength: 9 }), (hosts) => {
      const members = hosts.map((host, i) => member(`n${i}`, 'x:1', host));
      const pairs = members.flatMap((a, i) => members.slice(i + 1).map((b) => [a, b] as const));
      const rounds = tournament(pairs);
      expect(new Set(rounds.flat())).toEqual(new Set(pairs));
      expect(rounds.flat()).toHaveLength(pairs.length);
      for (const round of rounds) {
        const parties = round.flatMap((pair) => [...new Set(pair.map(partyOf))]);
        expect(new Set(parties).size).toBe(parties.length);
      }
    }),
  );
});

test('links are known by their ends in any order, until one of these is gone', () => {
  const links = new PeerLinks();
  links.put('b', 'a', { bitsPerSecond: 1e8, roundTripMs: 2, messageMs: 1 });
  links.put('a', 'c', undefined);
  expect(links.measured).toEqual([{ between: ['b', 'a'], bitsPerSecond: 1e8, roundTripMs: 2, messageMs: 1 }]);
  expect([links.knows('a', 'b'), links.knows('c', 'a'), links.knows('b', 'c')]).toEqual([true, true, false]);
  links.forget('b');
  expect(links.measured).toEqual([]);
  expect(links.knows('a', 'c')).toBe(true);
});

test('a link is what its slower way is found to be while it trains, once that is news', () => {
  const links = new PeerLinks();
  expect(links.used('a', 'b', 1e8), 'nothing was measured').toBeUndefined();
  links.put('a', 'b', { bitsPerSecond: 1e8, roundTripMs: 2, messageMs: 1 });
  expect(links.used('a', 'b', 0.85e8), 'noise').toBeUndefined();
  expect(links.used('b', 'a', 0.5e8)).toEqual({ between: ['a', 'b'], bitsPerSecond: 0.5e8, roundTripMs: 2, messageMs: 1 });
  expect(links.measured).toMatchObject([{ bitsPerSecond: 0.5e8 }]);
  expect(links.used('b', 'a', 2e8)).toMatchObject({ bitsPerSecond: 0.85e8 });
  links.put('c', 'd', { bitsPerSecond: 1e7, roundTripMs: 2, messageMs: 1 });
  expect(links.used('c', 'd', 1e8), 'of the other way nothing is known').toBeUndefined();
});
