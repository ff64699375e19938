import fc from 'fast-check';
import { expect, test } from 'vitest';
import { layOut, layoutSignature } from './model.js';
import { elementCount } from './tensor.js';

const tensors = fc.array(
  fc.record({ name: fc.string({ minLength: 1 }), shape: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }), trainable: fc.boolean() }),
  { maxLength: 12 },
);

test('a layout covers its vector without gap or overlap, in order', () => {
  fc.assert(
    fc.property(tensors, (list) => {
      const layout = layOut(list);
      let offset = 0;
      for (const [i, slot] of layout.slots.entries()) {
        expect(slot.offset).toBe(offset);
        expect(slot.length).toBe(elementCount(list[i]!.shape));
        offset += slot.length;
      }
      expect(layout.length).toBe(offset);
    }),
  );
});

test('signatures differ where names, shapes, order or trainability do', () => {
  const base = [
    { name: 'a', shape: [2, 3] },
    { name: 'b', shape: [6] },
  ];
  const signature = (list: Parameters<typeof layOut>[0]) => layoutSignature(layOut(list));
  const variants = [
    base,
    [...base].reverse(),
    [{ name: 'a', shape: [3, 2] }, base[1]!],
    [{ name: 'c', shape: [2, 3] }, base[1]!],
    [{ ...base[0]!, trainable: false }, base[1]!],
  ];
  expect(new Set(variants.map(signature)).size).toBe(variants.length);
  expect(signature(base)).toBe(signature(base.map((tensor) => ({ ...tensor, trainable: true }))));
});
