import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bindingSources, opsSources } from './sources.js';

test.each(['cpu', 'cuda'] as const)('the binding comes from the npm package, %s', async (variant) => {
  const sources = await bindingSources(variant);
  expect(sources.map(({ object }) => object)).toContain('tfjs_binding');
  expect(sources.every(({ path }) => existsSync(path))).toBe(true);
});

test('sessions on processors are made by our own source, which the other ones call, and on cards as the binding makes them', async () => {
  const [cpu, cuda] = [await bindingSources('cpu'), await bindingSources('cuda')];
  expect(cpu.filter(({ object }) => !cuda.some((one) => one.object === object)).map(({ object, flags }) => ({ object, flags }))).toEqual([{ object: 'session-options', flags: [] }]);
  expect(cpu.filter(({ flags }) => flags.includes('-DTF_NewSessionOptions=longtail_new_session_options'))).toHaveLength(cuda.length);
  expect(cuda.every(({ flags }) => flags.length === 0)).toBe(true);
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
