import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claimIdentity } from './node-identity.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a node keeps its id from one process to the next', () => {
  const first = claimIdentity(folder, 'lent');
  expect(first.node).toBe('');
  first.remember('n1-abc');
  first.release();
  expect(claimIdentity(folder, 'lent').node).toBe('n1-abc');
});

test('nodes of one name side by side have an id each; other names too', () => {
  const [first, second, other] = [claimIdentity(folder, 'lent'), claimIdentity(folder, 'lent'), claimIdentity(folder, 'a/b')];
  for (const [i, one] of [first, second, other].entries()) one.remember(`n${i}`);
  for (const one of [first, second, other]) one.release();
  expect(['lent', 'lent', 'a/b'].map((name) => claimIdentity(folder, name).node)).toEqual(['n0', 'n1', 'n2']);
});

test('what a killed process held is free again, and a half-written file is as none', () => {
  claimIdentity(folder, 'lent').remember('n1-abc');
  const lock = readdirSync(folder).find((name) => name.endsWith('.lock'))!;
  writeFileSync(join(folder, lock), '999999999'); // beyond the largest process id
  expect(claimIdentity(folder, 'lent').node).toBe('n1-abc');
  writeFileSync(join(folder, lock), '999999999');
  writeFileSync(join(folder, lock.replace('.lock', '')), '{"no');
  expect(claimIdentity(folder, 'lent').node).toBe('');
});
