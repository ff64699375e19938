import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeIdx } from './idx.js';
import { imageDataset } from './image-dataset.js';

function idx(shape: readonly number[], data: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x0800 | shape.length);
  shape.forEach((dimension, i) => view.setUint32(4 + 4 * i, dimension));
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

const split = (images: Uint8Array, labels: Uint8Array) => ({ images, labels, where: { images: 'images.idx', labels: 'labels.idx' } });
const TWO = split(idx([2, 1, 2], [0, 51, 255, 102]), idx([2], [3, 9]));

test('pixels are scaled to [0, 1] on the way into a batch', () => {
  const data = imageDataset('toy', 10, { train: TWO, validation: TWO });
  expect(data.signature).toEqual({ inputShape: [1, 2, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10 });
  expect(data.length('train')).toBe(2);
  expect(data.batch('train', [1, 0, 1])).toEqual({
    inputs: { dtype: 'float32', shape: [3, 1, 2, 1], data: Float32Array.of(1, 102 / 255, 0, 51 / 255, 1, 102 / 255) },
    targets: { dtype: 'int32', shape: [3], data: Int32Array.of(9, 3, 9) },
    samples: 3,
  });
  expect(() => data.batch('train', [2])).toThrow(RangeError);
});

test('every pixel is exactly its value / 255', () => {
  const all = Array.from({ length: 256 }, (_, pixel) => pixel);
  const set = split(idx([1, 16, 16], all), idx([1], [0]));
  expect(imageDataset('toy', 10, { train: set, validation: set }).batch('train', [0]).inputs.data).toEqual(
    Float32Array.from(all, (pixel) => pixel / 255),
  );
});

test('any IDX array comes back from its bytes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
      (shape, stream) => {
        const data = [...stream.take(shape.reduce((product, dimension) => product * dimension, 1))];
        const decoded = decodeIdx(idx(shape, data), shape.length, 'x');
        expect(decoded.shape).toEqual(shape);
        expect([...decoded.data]).toEqual(data);
      },
    ),
  );
});

test('every cut IDX file is refused', () => {
  const whole = idx([2, 1, 2], [1, 2, 3, 4]);
  for (let length = 0; length < whole.length; length++) {
    expect(() => decodeIdx(whole.subarray(0, length), 3, 'images.idx')).toThrow(
      expect.objectContaining({ code: 'invalid-data', where: 'images.idx', message: expect.stringContaining('cut off') }),
    );
  }
});

test.each([
  ['swapped files', split(TWO.labels, TWO.images), 'images.idx', /magic number 0x00000801, expected 0x00000803/],
  ['more labels than images', split(TWO.images, idx([3], [1, 2, 3])), 'labels.idx', /3 labels for 2 images/],
  ['a label out of range', split(TWO.images, idx([2], [1, 10])), 'labels.idx', /Label 10 of image 1/],
  ['an empty set', split(idx([0, 1, 2], []), idx([0], [])), 'images.idx', /no images/],
  ['images without pixels', split(idx([1, 0, 2], []), idx([1], [1])), 'images.idx', /no images/],
  ['other sizes in validation', split(idx([1, 2, 2], [1, 2, 3, 4]), idx([1], [1])), 'images.idx', /2 × 2 pixels, training images 1 × 2/],
])('%s: refused', (_, validation, where, message) => {
  expect(() => imageDataset('toy', 10, { train: TWO, validation })).toThrow(
    expect.objectContaining({ code: 'invalid-data', where, message: expect.stringMatching(message) }),
  );
});
