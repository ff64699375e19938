import { joinLayouts, layOut, type ParameterLayout } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StageVector } from './stage-vector.js';

/** Stages of a worker out of at most eight parameters, some of which several stages hold. */
const stagesArbitrary = fc
  .record({
    sizes: fc.array(fc.nat(5), { minLength: 8, maxLength: 8 }),
    stages: fc.array(fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 }),
  })
  .map(({ sizes, stages }) => stages.map((names) => layOut(names.map((name) => ({ name: `p${name}`, shape: [sizes[name]] })))));

const vectorsOf = (stages: readonly ParameterLayout[]) =>
  stages.map(
    (own, i) =>
      new StageVector(own, joinLayouts(stages), new Set(stages.slice(0, i).flatMap(({ slots }) => slots.map(({ name }) => name)))),
  );

test('each stage finds its parameters in the vector of its worker, and puts them there', async () => {
  await fc.assert(
    fc.asyncProperty(stagesArbitrary, async (stages) => {
      const whole = joinLayouts(stages);
      const worker = Float32Array.from({ length: whole.length }, (_, i) => i + 1);
      const back = new Float32Array(whole.length);
      for (const [i, vector] of vectorsOf(stages).entries()) {
        const values = vector.from(worker).slice();
        for (const { name, offset, length } of stages[i].slots) {
          const at = whole.slots.find((slot) => slot.name === name)!.offset;
          expect(values.subarray(offset, offset + length)).toEqual(worker.subarray(at, at + length));
        }
        await vector.into(back, 'stays', async (out) => out.set(values));
      }
      expect(back).toEqual(worker);
    }),
  );
});

test('gradients of what several stages hold are added up, whatever stood there before', async () => {
  await fc.assert(
    fc.asyncProperty(stagesArbitrary, async (stages) => {
      const whole = joinLayouts(stages);
      const sum = new Float32Array(whole.length).fill(1000);
      for (const [i, vector] of vectorsOf(stages).entries()) await vector.into(sum, 'is added', async (out) => out.fill(10 ** i));
      for (const { name, offset, length } of whole.slots) {
        const holders = [...stages.keys()].filter((i) => stages[i].slots.some((slot) => slot.name === name));
        const expected = holders.reduce((total, i) => total + 10 ** i, 0);
        for (const value of sum.subarray(offset, offset + length)) expect(value).toBe(expected);
      }
    }),
  );
});
