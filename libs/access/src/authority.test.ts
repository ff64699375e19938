import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { PeerIdentity } from '@longtail/core';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { Authority, createAuthority, type KeyedCertificate } from './authority.js';
import { requestCertificate } from './enrolment.js';

const NOW = Date.parse('2026-11-26T12:00:00Z');
const DAY = 24 * 3_600_000;
const peer: PeerIdentity = { id: 'engineer-0123456789ab', role: 'engineer' };

let material: KeyedCertificate;
let authority: Authority;
beforeAll(async () => {
  material = await createAuthority(NOW);
  authority = await Authority.open(material);
});

async function issued(by: Authority = authority): Promise<{ readonly certificate: X509Certificate; readonly privateKey: string }> {
  const { request, privateKey } = await requestCertificate();
  return { certificate: new X509Certificate(await by.issue(request, peer, NOW, NOW + DAY)), privateKey };
}

it('knows whom it issued a certificate to, while it is good', async () => {
  const { certificate, privateKey } = await issued();
  expect(authority.identify(certificate, NOW)).toEqual(peer);
  expect(certificate.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(authority.identify(certificate, NOW + DAY + 1_000)).toBeUndefined();
  expect(authority.identify(certificate, NOW - 2 * DAY)).toBeUndefined();
});

it('knows nobody of another authority, even of one with the same name', async () => {
  const other = await Authority.open(await createAuthority(NOW));
  expect(authority.identify((await issued(other)).certificate, NOW)).toBeUndefined();
  expect(other.fingerprint).not.toBe(authority.fingerprint);
});

it("takes neither the server's certificate nor its own for somebody's", async () => {
  const { certificate } = await authority.issueServer(NOW);
  expect(authority.identify(new X509Certificate(certificate), NOW)).toBeUndefined();
  expect(authority.identify(new X509Certificate(authority.certificate), NOW)).toBeUndefined();
});

it('is the same after a restart', async () => {
  const { certificate } = await issued();
  const again = await Authority.open(JSON.parse(JSON.stringify(material)) as KeyedCertificate);
  expect(again.identify(certificate, NOW)).toEqual(peer);
  expect(again.fingerprint).toBe(authority.fingerprint);
});

it('is not opened with a key that is not its own', async () => {
  const { privateKey } = await createAuthority(NOW);
  await expect(Authority.open({ ...material, privateKey })).rejects.toMatchObject({ code: 'storage', hint: expect.stringContaining('backup') });
});

it('refuses a damaged request, or gives no more for it than for a whole one', { timeout: 60_000 }, async () => {
  const { request } = await requestCertificate();
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat({ max: 255 }), async (at, value) => {
      const der = Buffer.from(request.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
      fc.pre(der[at % der.length] !== value);
      der[at % der.length] = value;
      const damaged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
      await authority.issue(damaged, peer, NOW, NOW + DAY).then(
        (certificate) => expect(authority.identify(new X509Certificate(certificate), NOW)).toEqual(peer),
        (error: unknown) => expect(error).toMatchObject({ code: 'protocol' }),
      );
    }),
    { numRuns: 300 },
  );
});

it('knows nobody by a damaged certificate', async () => {
  const { certificate } = await issued();
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (at, flipped) => {
      const der = Buffer.from(certificate.raw);
      der[at % der.length]! ^= flipped;
      let damaged: X509Certificate;
      try {
        damaged = new X509Certificate(der);
      } catch {
        return; // no certificate at all
      }
      expect(authority.identify(damaged, NOW)).toBeUndefined();
    }),
    { numRuns: 2_000 },
  );
});

it('says so when its files are damaged', async () => {
  await expect(Authority.open({ ...material, privateKey: 'x' })).rejects.toMatchObject({ code: 'storage' });
  await expect(Authority.open({ ...material, certificate: 'x' })).rejects.toMatchObject({ code: 'storage' });
});
