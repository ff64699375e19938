import { LongtailError } from '@longtail/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { currentIdentity, enrolIdentity, type IssuedCertificate } from './identity.js';
import { MemoryKeep } from './testing/memory-keep.js';

const DAY = 24 * 3_600_000;
const reply = (issuedAtMs: number, certificate: string): IssuedCertificate => ({ identity: 'node-1', role: 'node', certificate, issuedAtMs, expiresAtMs: issuedAtMs + 90 * DAY });

async function enrolled(): Promise<MemoryKeep> {
  const keep = new MemoryKeep();
  await enrolIdentity(keep, 'token-1', async (request) => {
    expect(request).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----/);
    expect(request).not.toContain('PRIVATE');
    return { authority: 'CA', reply: reply(0, 'first') };
  });
  return keep;
}

const never = (): Promise<never> => Promise.reject(new Error('nothing is due'));

it('is there after it was enrolled, and not before', async () => {
  expect(await currentIdentity(new MemoryKeep(), never, 0)).toBeUndefined();
  expect(await currentIdentity(await enrolled(), never, 44 * DAY)).toMatchObject({ id: 'node-1', token: 'token-1', authority: 'CA', certificate: 'first' });
});

it('is renewed with a new key in the second half of its life', async () => {
  const keep = await enrolled();
  const before = await currentIdentity(keep, never, 0);
  const renewed = await currentIdentity(keep, async (kept) => reply(50 * DAY, `after ${kept.certificate}`), 50 * DAY);
  expect(renewed).toMatchObject({ id: 'node-1', token: 'token-1', certificate: 'after first' });
  expect(renewed!.privateKey).not.toBe(before!.privateKey);
  expect(await currentIdentity(keep, never, 60 * DAY)).toEqual(renewed);
});

it.each(['unreachable', 'timeout'] as const)('stays what it is while its server is away (%s), and is told over when it is', async (code) => {
  const keep = await enrolled();
  const away = (): Promise<never> => Promise.reject(new LongtailError('away', { code }));
  expect(await currentIdentity(keep, away, 89 * DAY)).toMatchObject({ certificate: 'first' });
  await expect(currentIdentity(keep, away, 90 * DAY)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('expired'), hint: expect.stringContaining('--token') });
});

it('passes on that it was shut out', async () => {
  const out = (): Promise<never> => Promise.reject(new LongtailError('revoked', { code: 'refused' }));
  await expect(currentIdentity(await enrolled(), out, 50 * DAY)).rejects.toThrow('revoked');
});

it('is told damaged when it is, whatever changed in it', async () => {
  const keep = await enrolled();
  const { text } = keep;
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.string({ maxLength: 3 }), async (at, put) => {
      keep.text = text!.slice(0, at % text!.length) + put + text!.slice((at % text!.length) + 1);
      // A date may still be one, and over, or near.
      const dated = /expired at|nothing is due/;
      await currentIdentity(keep, never, 0).catch((error: unknown) => dated.test(String(error)) || expect(error).toMatchObject({ code: 'storage', where: keep.path }));
    }),
    { numRuns: 1_000 },
  );
});
