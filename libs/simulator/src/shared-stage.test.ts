import type { Stage } from '@longtail/core';
import { expect, test } from 'vitest';
import { SharedStage } from './shared-stage.js';

function setUp() {
  const written: number[] = [];
  const shared = new SharedStage({ writeParameters: async ([first]: Float32Array) => void written.push(first!) } as unknown as Stage);
  const compute = (value: number, of?: object) => shared.inTurn(new Float32Array([value]), async () => undefined, of);
  return { written, compute };
}

test('parameters of one version are written once, however many devices bring them', async () => {
  const { written, compute } = setUp();
  const [one, two] = [{}, {}];
  for (const [value, of] of [[1, one], [1, one], [2, two], [1, one]] as const) await compute(value, of);
  expect(written).toEqual([1, 2, 1]);
});

test('where nobody knows of which version they are, values tell', async () => {
  const { written, compute } = setUp();
  const version = {};
  await compute(1);
  await compute(1);
  await compute(2, version);
  await compute(1);
  await compute(2, version);
  expect(written).toEqual([1, 2, 1, 2]);
});
