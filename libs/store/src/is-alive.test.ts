import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { isAlive } from './is-alive.js';

test.each([0, -1, 1.5, NaN, 999_999_999])('%s is no process', (pid) => {
  expect(isAlive(pid)).toBe(false);
});

test('processes are alive, whoever has them', () => {
  expect([process.pid, process.ppid, 1].map(isAlive)).toEqual([true, true, true]);
});

describe.runIf(process.platform === 'linux')('what has an id as processes do, and is none', () => {
  test('a thread of one', () => {
    const threads = readdirSync('/proc/self/task').map(Number).filter((id) => id !== process.pid);
    expect(threads.length).toBeGreaterThan(0);
    expect(threads.filter(isAlive)).toEqual([]);
  });

  test('one that has ended, and that its parent has not asked about', async () => {
    // The shell becomes a process that does not know its child.
    const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
    try {
      await expect.poll(() => isAlive(Number(line))).toBe(false);
      expect(readdirSync('/proc')).toContain(line);
    } finally {
      parent.kill('SIGKILL');
    }
  });
});
