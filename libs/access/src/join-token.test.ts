import fc from 'fast-check';
import { ROLES } from '@longtail/core';
import { expect, it } from 'vitest';
import { formatJoinToken, parseJoinToken } from './join-token.js';

const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value).toString('hex'));
const token = fc.record({ id: hex(4), role: fc.constantFrom(...ROLES), authority: hex(32), secret: hex(16) });

it('comes back as it was, through any white space round it', () => {
  fc.assert(
    fc.property(token, fc.constantFrom('', ' ', '\n', '\t '), (given, space) => {
      expect(parseJoinToken(space + formatJoinToken(given) + space)).toEqual(given);
    }),
  );
});

it('is refused when any part of it is missing or another', () => {
  fc.assert(
    fc.property(token, fc.nat(), fc.constantFrom(...'AZaz09-_'), fc.boolean(), (given, at, letter, cut) => {
      const text = formatJoinToken(given);
      const place = at % text.length;
      const changed = cut ? text.slice(0, place) : text.slice(0, place) + letter + text.slice(place + 1);
      fc.pre(changed !== text);
      let outcome: unknown;
      try {
        // The last letter of base64url has bits that mean nothing.
        outcome = parseJoinToken(changed);
        expect(outcome).toEqual(given);
      } catch (error) {
        expect(error).toMatchObject({ code: 'usage', message: expect.not.stringContaining(given.secret) });
      }
    }),
    { numRuns: 2_000 },
  );
});

it('is refused when it is anything else', () => {
  fc.assert(fc.property(fc.string(), (text) => void expect(() => parseJoinToken(text)).toThrow(/token/)));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void expect(() => parseJoinToken(`longtail-${Buffer.from(bytes).toString('base64url')}`)).toThrow(/token/)));
});
