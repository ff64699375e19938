import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { opCases, outputAndGradients, worstDifference } from '../conformance/op-cases.js';
import { activate, loadTfjs } from '../eager/tfjs.js';
import { webgpuOps } from '../webgpu/ops.js';
import { naiveOps } from './naive.js';
import { portableOps } from './portable.js';

const tf = loadTfjs();
beforeAll(() => activate(tf, 'cpu', ''));

// Two values normalised are ±1 whatever they were: with D = 2 a layer norm's gradient is nothing but rounding.
const sizes = fc.record({ B: fc.integer({ min: 1, max: 4 }), L: fc.integer({ min: 1, max: 4 }), D: fc.integer({ min: 3, max: 6 }) });
const names = opCases({ B: 1, L: 1, D: 2 })
  .map(({ name }) => name)
  .filter((name) => !name.includes('×'));

test.each(names)('%s: values and gradients are those of the naive definition', async (name) => {
  await fc.assert(
    fc.asyncProperty(sizes, async (size) => {
      const opCase = opCases(size).find((candidate) => candidate.name === name)!;
      const expected = await outputAndGradients(tf, naiveOps(tf), opCase);
      for (const ops of [portableOps(tf), webgpuOps(tf)]) expect(worstDifference(await outputAndGradients(tf, ops, opCase), expected)).toBeLessThan(2e-5);
    }),
    { numRuns: 6 },
  );
});

test('no operation keeps tensors', async () => {
  const before = tf.memory().numTensors;
  for (const opCase of opCases({ B: 2, L: 3, D: 4 })) await outputAndGradients(tf, portableOps(tf), opCase);
  expect(tf.memory().numTensors).toBe(before);
});
