import { layOut } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLayouts } from './worker-layouts.js';

const layouts = [layOut([{ name: 'kernel', shape: [3, 2] }, { name: 'bias', shape: [2] }]), layOut([{ name: 'statistics', shape: [], trainable: false }])];
const [{ slots }] = layouts as [(typeof layouts)[0]];
const changed = (changes: object) => JSON.stringify([{ slots: [{ ...slots[0], ...changes }, slots[1]], length: 8 }]);

test('layouts come through as they are', () => {
  expect(parseLayouts(JSON.stringify(layouts))).toEqual(layouts);
});

test.each([
  '', 'null', '{}', '[null]', '[{"slots":[null],"length":0}]', '[{"slots":[]}]',
  changed({ offset: 1 }), changed({ length: 5 }), changed({ shape: [-3, 2] }), changed({ shape: [2 ** 60, 2 ** 60] }), changed({ name: 'bias' }), changed({ trainable: 1 }),
])('what is no layout is refused: %s', (json) => {
  expect(() => parseLayouts(json)).toThrow(expect.objectContaining({ code: 'protocol' }) as Error);
});

test('whatever text comes, nothing else is thrown', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (json) => {
      try {
        for (const { length } of parseLayouts(json)) expect(length).toBeGreaterThanOrEqual(0);
      } catch (error) {
        expect(error).toMatchObject({ code: 'protocol' });
      }
    }),
  );
});
