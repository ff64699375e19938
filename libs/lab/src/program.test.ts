import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { programHash } from './program.js';

test('a program is another one where what is built of a library is, and its tests and sources do not count', () => {
  const libraries = mkdtempSync(join(tmpdir(), 'longtail-program-'));
  try {
    const write = (path: string, text: string) => {
      mkdirSync(join(libraries, 'sync', path, '..'), { recursive: true });
      writeFileSync(join(libraries, 'sync', path), text);
      return programHash(libraries);
    };
    const first = write('dist/asp.js', 'one');
    expect(write('src/asp.ts', 'one')).toBe(first);
    expect(write('dist/asp.test.js', 'one')).toBe(first);
    expect(write('dist/asp.js', 'two')).not.toBe(first);
    expect(write('dist/asp.js', 'one')).toBe(first);
    expect(write('dist/deep/new.js', 'one')).not.toBe(first);
  } finally {
    rmSync(libraries, { recursive: true });
  }
});
