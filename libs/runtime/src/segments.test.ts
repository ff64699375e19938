import { joinLayouts, layOut, type ParameterLayout } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutEvenly, heldBy, segmentsOf } from './segments.js';

const CHUNK = 8;

/** Parameters of blocks; `reads` are those of earlier blocks that a block reads as well. */
interface TestBlock {
  readonly own: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly reads: readonly number[];
}

const modelArbitrary = fc
  .array(fc.record({ sizes: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 3 }), reads: fc.array(fc.nat(), { maxLength: 2 }) }), { minLength: 1, maxLength: 7 })
  .map((blocks): TestBlock[] =>
    blocks.map(({ sizes, reads }, i) => ({
      own: sizes.map((size, k) => ({ name: `b${i}.${k}`, shape: [size] })),
      reads: i === 0 ? [] : reads.map((read) => read % i),
    })),
  );

/** As an engine lays a stage out: each parameter where it is first read (libs/engine, stageModel). */
function stage(model: readonly TestBlock[], start: number, end: number): ParameterLayout {
  const tensors = new Map<string, { name: string; shape: readonly number[] }>();
  for (const { own, reads } of model.slice(start, end)) {
    for (const tensor of [...own, ...reads.flatMap((read) => model[read]!.own)]) tensors.set(tensor.name, tensors.get(tensor.name) ?? tensor);
  }
  return layOut([...tensors.values()]);
}

const stagesOf = (model: readonly TestBlock[], cuts: readonly number[]) => {
  const borders = [0, ...new Set(cuts.map((cut) => 1 + (cut % model.length)).filter((cut) => cut < model.length)), model.length].sort((a, b) => a - b);
  return borders.slice(1).map((end, i) => stage(model, borders[i]!, end));
};

test('stages put together are the whole model, and segments lie in every stage as they do in the whole vector', () => {
  const replicasArbitrary = fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(modelArbitrary, replicasArbitrary, (model, cuts) => {
      const whole = stage(model, 0, model.length);
      const replicas = cuts.map((of) => stagesOf(model, of));
      for (const stages of replicas) expect(joinLayouts(stages)).toEqual(whole);
      const segments = segmentsOf(whole, replicas, CHUNK);
      expect(segments.reduce((end, { offset, grid }) => (expect(offset).toBe(end), end + grid.length), 0)).toBe(whole.length);
      for (const layout of replicas.flat()) {
        const held = heldBy(layout, segments);
        expect(held.reduce((sum, { segment }) => sum + segment.grid.length, 0)).toBe(layout.length);
        for (const { name, offset, length } of layout.slots.filter((slot) => slot.length > 0)) {
          const inWhole = whole.slots.find((slot) => slot.name === name)!;
          const of = held.find(({ segment }) => segment.offset <= inWhole.offset && inWhole.offset + length <= segment.offset + segment.grid.length)!;
          expect(of.start + inWhole.offset - of.segment.offset).toBe(offset);
        }
      }
    }),
  );
});

test('solo workers alone: one segment', () => {
  const layout = layOut([{ name: 'a', shape: [3] }, { name: 'b', shape: [10] }]);
  expect(segmentsOf(layout, [[layout], [layout]], CHUNK)).toEqual([
    { index: 0, offset: 0, first: 'a', grid: { length: 13, chunkLength: 8, chunks: 2 } },
  ]);
});

test('what is tied over a border is a segment of its own, in both stages', () => {
  const [lower, upper] = [layOut([{ name: 'e', shape: [4] }, { name: 'a', shape: [2] }]), layOut([{ name: 'b', shape: [3] }, { name: 'e', shape: [4] }])];
  const segments = segmentsOf(joinLayouts([lower, upper]), [[lower, upper]], CHUNK);
  expect(segments.map(({ first, offset, grid }) => [first, offset, grid.length])).toEqual([
    ['e', 0, 4],
    ['a', 4, 2],
    ['b', 6, 3],
  ]);
  expect(heldBy(upper, segments).map(({ segment, start }) => [segment.index, start])).toEqual([
    [0, 3],
    [2, 0],
  ]);
});

test('fragments cover the vector evenly, in whole blocks where it is long enough', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 64 }), (length, count) => {
      const parts = cutEvenly(length, count, CHUNK);
      expect(parts.length).toBeLessThanOrEqual(count);
      let end = 0;
      for (const [index, { offset, grid }] of parts.entries()) {
        expect([index, offset, grid.length > 0]).toEqual([parts[index]!.index, end, true]);
        if (length >= count * 4096) expect(offset % 4096).toBe(0);
        end += grid.length;
      }
      expect(end).toBe(length);
      expect(new Set(parts.slice(0, -1).map(({ grid }) => grid.length)).size).toBeLessThanOrEqual(1);
    }),
  );
});
