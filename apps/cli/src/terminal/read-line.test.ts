import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { edited, readLine } from './read-line.js';

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

it.each([
  ['as it was pasted', 'longtail-äbc', 'longtail-äbc'],
  ['with characters taken back', 'lonx\x7fgtä\bail\x7f', 'longtai'],
  ['with more taken back than there was', 'l\x7f\x7f\x7fong', 'ong'],
  ['begun anew', 'wrong\x15right', 'right'],
  ['with arrows, Home and Delete pressed, and between the marks of a paste', '\x1b[Da\x1bOHb\x1b[3~c\x1b[200~d\x1b[201~', 'abcd'],
  ['with a tab', 'a\tb', 'ab'],
])('a line that is typed %s', (_, keys, line) => {
  expect(edited(keys)).toBe(line);
});
