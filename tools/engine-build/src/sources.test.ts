import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bindingSources, opsSources } from './sources.js';

test('the binding comes from the npm package', async () => {
  const sources = await bindingSources();
  expect(sources.map(({ object }) => object)).toContain('tfjs_binding');
  expect(sources.every(({ path }) => existsSync(path))).toBe(true);
});

test('the kernels are compiled for each instruction set of x86-64, and once elsewhere, with no flag of x86', async () => {
  const kernels = async (arch: 'x64' | 'arm64') => (await opsSources(arch)).filter(({ object }) => object.startsWith('kernels-'));
  expect((await kernels('x64')).map(({ object }) => object).sort()).toEqual([
    'kernels-any',
    'kernels-avx2',
    'kernels-avx512',
    'kernels-choice',
  ]);
  expect((await kernels('arm64')).map(({ object }) => object).sort()).toEqual(['kernels-any', 'kernels-choice']);
  expect((await opsSources('arm64')).flatMap(({ flags }) => flags).filter((flag) => flag.startsWith('-m'))).toEqual([]);
});
