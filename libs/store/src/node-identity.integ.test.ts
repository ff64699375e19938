import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { claimIdentity } from './node-identity.js';

const PROCESSES = 4;
const FOLDERS = 16;

/** Claims in one folder after the other, at moments that all processes have in common, and holds on until it is told to end. */
const CLAIM = `
const [store, root, startMs] = process.argv.slice(1);
const { claimIdentity } = await import(store);
for (let i = 0; i < ${FOLDERS}; i++) {
  while (Date.now() < Number(startMs) + 30 * i);
  await claimIdentity(root + '/' + i, 'lent');
}
console.log('done');
process.stdin.resume();
`;

it('processes that start at the same moment have an id each, also after all of them were killed', async () => {
  const root = mkdtempSync(join(tmpdir(), 'longtail-claims-'));
  for (let i = 0; i < FOLDERS; i++) {
    const folder = join(root, String(i));
    mkdirSync(folder);
    if (i % 2 === 1) continue;
    for (let before = 0; before < PROCESSES; before++) await claimIdentity(folder, 'lent');
    for (const lock of readdirSync(folder)) renameSync(join(folder, lock, `${process.pid}`), join(folder, lock, '999999999')); // of a process that is gone
  }
  const store = new URL('../dist/node.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', CLAIM, store, root, String(Date.now() + 500)];
  const running = Array.from({ length: PROCESSES }, () => spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
  const pids = running.map(({ pid }) => String(pid)).sort();
  const holders = (i: number): string[] => readdirSync(join(root, String(i))).flatMap((name) => (name.endsWith('.held') ? readdirSync(join(root, String(i), name)) : [])).sort();
  // Whoever ends frees what it has.
  await Promise.all(running.map(({ stdout }) => once(stdout, 'data')));
  running.forEach(({ stdin }) => stdin.end());
  await Promise.all(running.map((each) => once(each, 'exit')));
  for (let i = 0; i < FOLDERS; i++) expect(holders(i)).toEqual(pids);
  rmSync(root, { recursive: true });
});
