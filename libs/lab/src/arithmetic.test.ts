import { expect, test } from 'vitest';
import { arithmeticOf } from './arithmetic.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

test('what a bench computes: samples of each arm and seed, by what one takes, and nothing for arms that cannot be', async () => {
  const workbench = new Workbench('cpu');
  const given = scenario('[{strategy: [bsp, asp]}, {strategy: [ssp, bsp], sync.staleness: 3}, {strategy: bsp, train.maxSamples: 160}]', { rest: 'seeds: [1, 2]\n' });
  const [first] = given.arms;
  const own = { ...first!, job: { ...first!.job, model: { type: 'module', path: 'own.mjs' } } } as const;
  const { flopsPerSample, data } = await workbench.open(first!.job);
  expect(await arithmeticOf({ ...given, arms: [own, ...given.arms] }, workbench)).toEqual({ runs: 8, flops: (3 * 2 * 4 * data.length('train') + 2 * 160) * flopsPerSample });
});
