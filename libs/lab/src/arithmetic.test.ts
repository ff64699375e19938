import { expect, test } from 'vitest';
import { arithmeticOf } from './arithmetic.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

test('what a bench computes: samples of each arm and seed, by what one takes', async () => {
  const workbench = new Workbench('cpu');
  const given = scenario('[{strategy: [bsp, asp]}, {strategy: [ssp, bsp], sync.staleness: 3}, {strategy: bsp, train.maxSamples: 160}]', { rest: 'seeds: [1, 2]\n' });
  const { flopsPerSample, data } = await workbench.open(given.arms[0]!.job);
  expect(await arithmeticOf(given, workbench)).toEqual({ runs: 8, flops: (3 * 2 * 4 * data.length('train') + 2 * 160) * flopsPerSample });
});
