import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readLine } from './read-line.js';

const folder = mkdtempSync(join(tmpdir(), 'longtail-line-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('waits for a line of an input that does not wait itself, as a terminal that Node has looked at', () => {
  const pipe = join(folder, 'pipe');
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', pipe]);
  const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  spawn('sh', ['-c', 'printf "longtail-äbc \\nnext" > "$1"', 'sh', pipe]);
  expect(readLine(fd)).toBe('longtail-äbc');
  closeSync(fd);
});

it('takes what there is of an input that ends without a line', () => {
  const file = join(folder, 'file');
  writeFileSync(file, 'longtail-abc');
  const fd = openSync(file, 'r');
  expect(readLine(fd)).toBe('longtail-abc');
  expect(readLine(fd)).toBe('');
  closeSync(fd);
});
