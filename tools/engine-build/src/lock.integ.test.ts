import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLock } from './lock.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-lock-'));
  path = join(folder, 'engine.lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('withLock', () => {
  it('lets one work at a time and tells the others whom they wait for', async () => {
    let working = 0;
    const waitedFor: number[] = [];
    const work = async (): Promise<number> => {
      expect(++working).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      return --working;
    };
    const results = await Promise.all([1, 2, 3].map(() => withLock(path, work, { onWait: (pid) => waitedFor.push(pid) })));
    expect(results).toEqual([0, 0, 0]);
    expect(waitedFor).toContain(process.pid);
    expect(existsSync(path)).toBe(false);
  });

  it('is free again after a failure', async () => {
    await expect(withLock(path, () => Promise.reject(new Error('disk full')))).rejects.toThrow('disk full');
    expect(await withLock(path, () => Promise.resolve('next'))).toBe('next');
  });

  it('takes over from a process that died', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    writeFileSync(path, JSON.stringify({ pid: dead, host: hostname() }));
    expect(await withLock(path, () => Promise.resolve('mine'))).toBe('mine');
  });

  it('takes over from another machine that has fallen silent', async () => {
    writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere' }));
    const minuteAgo = Date.now() / 1000 - 60;
    utimesSync(path, minuteAgo, minuteAgo);
    expect(await withLock(path, () => Promise.resolve('mine'))).toBe('mine');
  });

  it('stops waiting on abort and leaves the lock to its holder', async () => {
    writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname() }));
    const controller = new AbortController();
    const waiting = withLock(path, () => Promise.resolve(), { signal: controller.signal, onWait: () => controller.abort() });
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    expect(existsSync(path)).toBe(true);
  });
});
