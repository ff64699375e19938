import { expect, test } from 'vitest';
import { arithmeticOf } from './arithmetic.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

test('what arms compute: their samples, by what one takes, and nothing for arms that cannot be', async () => {
  const workbench = new Workbench('cpu');
  const given = scenario('[{strategy: [bsp, asp]}, {strategy: [ssp, bsp], sync.staleness: 3}, {strategy: bsp, train.maxSamples: 160}]');
  const [first] = given.arms;
  const own = { ...first!, job: { ...first!.job, model: { type: 'module', path: 'own.mjs' } } } as const;
  const { flopsPerSample, data } = await workbench.open(first!.job);
  const tasks = [own, ...given.arms].map((arm) => ({ arm }));
  expect(await arithmeticOf(tasks, workbench)).toEqual({ runs: 4, flops: (3 * 4 * data.length('train') + 160) * flopsPerSample });
});
