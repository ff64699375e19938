import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCredentials, writeKept, type Credentials } from '@longtail/access';
import type { ControlClient } from '@longtail/transport';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keptIdentity, rememberAtStandby } from './identity.js';

const STANDBY = '10.0.0.6:7077';
const DAY_MS = 86_400_000;

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'longtail-state-'));
  vi.stubEnv('LONGTAIL_STATE', state);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(state, { recursive: true });
});

const issued = (id: string, day: number, authority = 'of the server'): Credentials => ({
  id,
  role: 'engineer',
  token: 'a1b2c3d4',
  authority,
  certificate: `of ${id}, day ${day}`,
  privateKey: 'its key',
  issuedAtMs: day * DAY_MS,
  expiresAtMs: (day + 90) * DAY_MS,
});

async function rememberedAfter(known: Credentials | undefined, shown: Credentials): Promise<Credentials | undefined> {
  const keep = keptIdentity(STANDBY, 'client');
  if (known !== undefined) await writeKept(keep, known);
  await rememberAtStandby({ server: { standbyAddress: STANDBY } } as ControlClient, 'client', shown);
  return readCredentials(keep);
}

test('whoever is known on a server is known at its standby', async () => {
  expect(await rememberedAfter(undefined, issued('e-1', 0))).toEqual(issued('e-1', 0));
});

test('a certificate that was renewed is known there too: the one before it ends', async () => {
  expect(await rememberedAfter(issued('e-1', 0), issued('e-1', 50))).toEqual(issued('e-1', 50));
  expect(await rememberedAfter(issued('e-1', 60), issued('e-1', 50))).toEqual(issued('e-1', 60));
});

test('so is an identity that took the place of another one; what somebody is on another server stays', async () => {
  expect(await rememberedAfter(issued('e-2', 0), issued('e-1', 50))).toEqual(issued('e-1', 50));
  expect(await rememberedAfter(issued('e-2', 0, 'of another'), issued('e-1', 50))).toEqual(issued('e-2', 0, 'of another'));
});
