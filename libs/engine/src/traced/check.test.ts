import fc from 'fast-check';
import type { LongtailError } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Model } from '../block.js';
import { checkTraced } from './check.js';
import { traceModel } from './trace-model.js';

const model: Model = {
  inputShape: [4, 4, 2],
  inputType: 'float32',
  blocks: [
    {
      name: 'conv',
      parameters: [{ name: 'w', shape: [3, 3, 2, 3], init: { kind: 'values', values: new Float32Array(54).fill(0.1) } }],
      outputShape: () => [48],
      apply: ({ tf }, x, [w]) => tf.reshape(tf.add(tf.conv2d(x as never, w as never, 1, 'same'), tf.tensor1d([1, 2, 3])), [x.shape[0], 48]),
    },
    {
      name: 'dense',
      parameters: [{ name: 'w', shape: [48, 3], init: { kind: 'normal', std: 0.1 } }],
      outputShape: () => [3],
      apply: ({ ops }, x, [w]) => ops.linear(x as never, w as never),
    },
  ],
};
const good = JSON.stringify(traceModel(model, 'model.ts', () => undefined));

type Json = Record<string, unknown> | unknown[];

/** Every place of a value in it. */
function places(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, part]) => places(part, [...path, key]))];
}

test('the trace of a model is taken', () => {
  expect(checkTraced(JSON.parse(good), 'model.ts').blocks.map(({ steps }) => steps.map((step) => (step.call === 'constant' ? 'constant' : step.name)))).toEqual([['Conv2D', 'constant', 'Add', 'Reshape'], ['linear']]);
});

test('a stranger’s changes are refused with words, or leave a model whose shapes hold', () => {
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom(-1, 0, 1e9, 2 ** 31, 1e300, 'Conv2D', '__proto__', 'constructor', null, [], {}, { batch: 1e9, plus: 1 }, { number: 'NaN' }, JSON.parse('{"__proto__":{"polluted":1}}')));
  let refused = 0;
  fc.assert(
    fc.property(fc.constantFrom(...places(JSON.parse(good))), odd, (path, value) => {
      const changed = JSON.parse(good) as Json;
      const at = path.slice(0, -1).reduce<Json>((inner, key) => (inner as Record<string, Json>)[key], changed);
      if (path.length > 0) Object.defineProperty(at, path.at(-1)!, { value, enumerable: true, writable: true, configurable: true });
      try {
        const traced = checkTraced(path.length === 0 ? value : changed, 'model.ts');
        expect(traced.blocks.at(-1)!.outputShape).toEqual([3]);
      } catch (error) {
        refused++;
        expect((error as LongtailError).code).toBe('invalid-file');
      }
      expect('polluted' in {}).toBe(false);
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(100);
});
