import { joinLayouts, layoutSignature } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { expect, test } from 'vitest';
import { referenceArithmetic } from './arithmetic.js';
import { simulate } from './simulate.js';
import { timingModel } from './timing-model.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const PARAMETERS = 5e6;
const block = { parameters: PARAMETERS, tied: [], forwardFlops: 1e6, backwardFlops: 2e6, outputBytes: 4 };
const sync = { strategy: 'diloco', localSteps: 4, codec: 'int4' } as const;
const link = { upBitsPerSecond: 20e6, downBitsPerSecond: 100e6, rttMs: 20 };
const fleet = ['a', 'b'].map((name) => ({ name, samplesPerSecond: 100, link }));
const timing = scenario({
  ...timingModel({ blocks: [block], trainSamples: 2000 }),
  job: job({ train: { batch: 20, epochs: 1 }, sync }),
  fleet,
  account: true,
});

test('a model of a few values takes the bytes and the time of the one that it stands for', async () => {
  const outcome = await simulate(timing);
  const coded = createCodec('int4', createKernels()).maxBytes(PARAMETERS);
  const contributions = eventsOf(outcome.events, 'contribution').slice(-6);
  for (const { bytesUp, exchange } of contributions) {
    expect(bytesUp / coded).toBeCloseTo(1, 2);
    expect(exchange!.sendMs / (8000 * (coded / link.upBitsPerSecond))).toBeCloseTo(1, 1);
  }
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2000, lost: 0 } });
});

test.each([
  ['bsp', {}],
  ['diloco', { localSteps: 4, codec: 'int4' }],
  ['streaming-diloco', { localSteps: 4, fragments: 2, codec: 'top-k' }],
  ['asp', { codec: 'int8', downCodec: 'int8' }],
] as const)('without arithmetic %s goes as with it, event for event', async (strategy, more) => {
  const faults = [{ kind: 'cut', worker: 'a', atMs: 900 }, { kind: 'slow', worker: 'b', atMs: 1200, factor: 5, forMs: 4000 }] as const;
  const idle = { ...timing, job: job({ train: { batch: 20, epochs: 1 }, sync: { strategy, ...more } }), faults };
  const withIt = await simulate({ ...idle, arithmetic: referenceArithmetic });
  for (const checksums of [true, false]) {
    const without = await simulate({ ...idle, checksums });
    expect(without.fired).toEqual(new Set(faults));
    expect(without.events).toEqual(withIt.events);
    expect(without.account).toEqual(withIt.account);
  }
});

test('events that are not kept are told all the same, and the same seed gives the same run', async () => {
  const [whole, told] = [await simulate(timing), [] as object[]];
  const sparse = await simulate({
    ...timing,
    keeps({ body }) {
      told.push(body);
      return body.event !== 'contribution';
    },
  });
  expect(told).toEqual(whole.events.map(({ body }) => body));
  expect(sparse.events).toEqual(whole.events.filter(({ body }) => body.event !== 'contribution'));
  expect(sparse.account).toEqual(whole.account);
});

test('wherever stages are cut, they add up to the same vector, and to the whole work', () => {
  const tied = [{ name: 'embedding', parameters: 3e6 }];
  const layer = { parameters: 1e6, tied: [], forwardFlops: 2e6, backwardFlops: 4e6, outputBytes: 4096 };
  const { blocks } = timingModel({ blocks: [{ ...layer, parameters: 0, tied }, layer, layer, { ...layer, parameters: 10, tied, outputBytes: 400 }], trainSamples: 1 }).model;
  const whole = layoutSignature(blocks!.layout({ start: 0, end: 4 }));
  for (const cut of [1, 2, 3]) {
    const stages = [{ start: 0, end: cut }, { start: cut, end: 4 }];
    expect(layoutSignature(joinLayouts(stages.map((range) => blocks!.layout(range))))).toBe(whole);
    expect(stages.reduce((sum, range) => sum + blocks!.work!(range), 0)).toBeCloseTo(1);
  }
});
