import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut } from '@longtail/core';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { openSafetensors, readFlat, tensorsOf, writeSafetensors, type TensorSource } from './index.js';

/** `safetensors.numpy.save` of safetensors 0.8.0 on these tensors, metadata {format: np}. */
const REFERENCE = Buffer.from(
  'wAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJucCJ9LCLDqSI6eyJkdHlwZSI6Ikk2NCIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzAsOF19LCJiLndlaWdodCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbOCwzMl19LCJlbXB0eSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCw0XSwiZGF0YV9vZmZzZXRzIjpbMzIsMzJdfSwic2NhbGFyIjp7ImR0eXBlIjoiSTMyIiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMiOlszMiwzNl19LCJhLmJpYXMiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlszNiw0MF19LCIxIjp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOls0MCw0MV19LCJmbGFnIjp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6WzQxLDQ0XX19ICAgICAgBwAAAAAAAAAAAMA/AAAAwAAAQEAAAAAAd8wrMgDgf0cDAAAAADwAvP8BAAE=',
  'base64',
);
const REFERENCE_TENSORS: readonly TensorSource[] = [
  { name: '1', dtype: 'U8', shape: [1], data: Uint8Array.of(255) },
  { name: 'flag', dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
  { name: 'empty', dtype: 'F32', shape: [0, 4], data: new Float32Array() },
  { name: 'scalar', dtype: 'I32', shape: [], data: Int32Array.of(3) },
  { name: 'é', dtype: 'I64', shape: [1], data: BigInt64Array.of(7n) },
  { name: 'a.bias', dtype: 'F16', shape: [2], data: Float32Array.of(1, -1) },
  { name: 'b.weight', dtype: 'F32', shape: [2, 3], data: Float32Array.of(1.5, -2, 3, 0, 1e-8, 65504) },
];

const folder = mkdtempSync(join(tmpdir(), 'longtail-safetensors-'));
const path = join(folder, 'model.safetensors');
afterAll(() => rmSync(folder, { recursive: true }));

async function readAll(file: string): Promise<Record<string, number[]>> {
  const opened = await openSafetensors(file);
  const values: Record<string, number[]> = {};
  for (const [name, { shape }] of opened.tensors) {
    const out = new Float32Array(shape.reduce((product, dimension) => product * dimension, 1));
    await opened.readFloat32(name, out);
    values[name] = [...out];
  }
  await opened.close();
  return values;
}

test('our bytes are those of the reference implementation', async () => {
  const { bytes } = await writeSafetensors(path, REFERENCE_TENSORS, { format: 'np' });
  expect(readFileSync(path)).toEqual(REFERENCE);
  expect(bytes).toBe(REFERENCE.length);
});

test('its bytes are read with every dtype as float32', async () => {
  writeFileSync(path, REFERENCE);
  expect(await readAll(path)).toEqual({
    1: [255],
    flag: [1, 0, 1],
    empty: [],
    scalar: [3],
    é: [7],
    'a.bias': [1, -1],
    'b.weight': [...Float32Array.of(1.5, -2, 3, 0, 1e-8, 65504)],
  });
  const file = await openSafetensors(path);
  expect(file.metadata).toEqual(new Map([['format', 'np']]));
  expect(file.tensors.get('b.weight')).toEqual({ dtype: 'F32', shape: [2, 3], begin: 8, end: 32 });
  expect([...(await file.readBytes('é'))]).toEqual([7, 0, 0, 0, 0, 0, 0, 0]);
  await file.close();
});

test('integers and doubles as float32', async () => {
  await writeSafetensors(path, [
    { name: 'F64', dtype: 'F64', shape: [2], data: Float64Array.of(-0.5, 1e300) },
    { name: 'U64', dtype: 'U64', shape: [1], data: BigUint64Array.of(2n ** 40n) },
    { name: 'U32', dtype: 'U32', shape: [1], data: Uint32Array.of(2 ** 32 - 1) },
    { name: 'I16', dtype: 'I16', shape: [1], data: Int16Array.of(-300) },
    { name: 'U16', dtype: 'U16', shape: [1], data: Uint16Array.of(60000) },
    { name: 'I8', dtype: 'I8', shape: [1], data: Int8Array.of(-3) },
    { name: 'BF16', dtype: 'BF16', shape: [1], data: Float32Array.of(-2.5) },
  ]);
  expect(await readAll(path)).toEqual({
    F64: [-0.5, Infinity],
    U64: [2 ** 40],
    U32: [2 ** 32],
    I16: [-300],
    U16: [60000],
    I8: [-3],
    BF16: [-2.5],
  });
});

const layout = fc
  .uniqueArray(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 6 }).filter((name) => name !== '__metadata__'),
    { minLength: 1, maxLength: 5 },
  )
  .chain((names) =>
    fc.tuple(...names.map((name) => fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).map((shape) => ({ name, shape })))),
  )
  .map((tensors) => layOut(tensors));

test('any flat vector and layout come back, bit for bit', async () => {
  await fc.assert(
    fc.asyncProperty(
      layout,
      fc.dictionary(fc.string({ minLength: 1 }), fc.string()),
      fc.infiniteStream(fc.float()),
      async (slots, metadata, values) => {
        const flat = Float32Array.from([...values.take(slots.length)]);
        await writeSafetensors(path, tensorsOf(flat, slots), metadata);
        const back = await readFlat(path, slots);
        expect(new Uint8Array(back.buffer)).toEqual(new Uint8Array(flat.buffer));
        const file = await openSafetensors(path);
        expect(Object.fromEntries(file.metadata)).toEqual(Object.fromEntries(Object.entries(metadata)));
        await file.close();
      },
    ),
    { numRuns: 30 },
  );
});

test('a model larger than a chunk, rounded on the way', async () => {
  const slots = layOut([
    { name: 'w', shape: [1200, 2000] },
    { name: 'b', shape: [3] },
  ]);
  const flat = Float32Array.from({ length: slots.length }, (_, i) => i % 2048);
  for (const dtype of ['F32', 'F16'] as const) {
    await writeSafetensors(path, tensorsOf(flat, slots, dtype));
    expect(Buffer.compare(Buffer.from((await readFlat(path, slots)).buffer), Buffer.from(flat.buffer))).toBe(0);
  }
});

/** A file with this header and so many bytes of data. */
function forge(header: unknown, dataBytes = 8, claimed?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]);
}

const entry = (fields: object = {}): object => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields });

test.each([
  ['an empty file', Buffer.alloc(0), /0 bytes/],
  ['seven bytes', Buffer.alloc(7), /7 bytes/],
  ['a huge header', forge({}, 8, 2n ** 63n), /claims 9223372036854775808 bytes/],
  ['a header beyond the file', forge({}, 8, 5000n), /the file has/],
  ['no JSON', forge('{"a":'), /not JSON/],
  ['no UTF-8', Buffer.concat([forge('', 0, 2n), Buffer.of(0xff, 0xff)]), /not JSON/],
  ['a list', forge([]), /no JSON object/],
  ['an entry that is a number', forge({ a: 3 }), /no object/],
  ['an unknown dtype', forge({ a: entry({ dtype: 'F31' }) }), /unknown dtype "F31"/],
  ['an inherited dtype', forge({ a: entry({ dtype: 'toString' }) }), /unknown dtype/],
  ['a negative dimension', forge({ a: entry({ shape: [-2] }) }), /impossible shape/],
  ['a fractional dimension', forge({ a: entry({ shape: [0.5, 4] }) }), /impossible shape/],
  ['a shape that overflows', forge({ a: entry({ shape: [2 ** 40, 2 ** 40] }) }), /needs/],
  ['offsets that run backwards', forge({ a: entry({ data_offsets: [8, 0] }) }), /span -8/],
  ['offsets of another size', forge({ a: entry({ data_offsets: [0, 4] }) }), /needs 8 bytes/],
  ['three offsets', forge({ a: entry({ data_offsets: [0, 8, 8] }) }), /impossible offsets/],
  ['offsets beyond the file', forge({ a: entry({ shape: [4], data_offsets: [0, 16] }) }), /need 16 bytes, the file has 8/],
  ['a hole before', forge({ a: entry({ data_offsets: [8, 16] }) }, 16), /begins at byte 8/],
  ['an overlap', forge({ a: entry(), b: entry({ data_offsets: [4, 12] }) }, 12), /begins at byte 4/],
  ['data that no tensor covers', forge({ a: entry() }, 9), /the file has 9/],
  ['metadata that are no texts', forge({ __metadata__: { a: 1 }, a: entry() }), /not texts/],
])('%s is refused', async (_, bytes, message) => {
  writeFileSync(path, bytes);
  await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'invalid-file', where: path, message: expect.stringMatching(message) });
});

test('every cut and every flipped header byte of a real file is refused or read, never worse', async () => {
  for (let length = 0; length < REFERENCE.length; length += 7) {
    writeFileSync(path, REFERENCE.subarray(0, length));
    await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'invalid-file' });
  }
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 455 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const damaged = Buffer.from(REFERENCE);
      damaged[at] ^= flip;
      writeFileSync(path, damaged);
      await openSafetensors(path).then(
        (file) => file.close(),
        (error: unknown) => expect(error).toMatchObject({ code: 'invalid-file' }),
      );
    }),
  );
});

test('a file of another model is refused with the shape it lacks', async () => {
  await writeSafetensors(path, tensorsOf(new Float32Array(6), layOut([{ name: 'w', shape: [2, 3] }])));
  await expect(readFlat(path, layOut([{ name: 'w', shape: [3, 2] }]))).rejects.toMatchObject({
    code: 'invalid-file',
    message: expect.stringContaining('[3, 2]'),
  });
  await expect(readFlat(path, layOut([{ name: 'v', shape: [2, 3] }]))).rejects.toMatchObject({
    message: expect.stringContaining('v is not in the file'),
  });
  await expect(readFlat(join(folder, 'none'), layOut([]))).rejects.toMatchObject({ code: 'missing-file' });
});

test('a write that fails leaves the old file and no other', async () => {
  const before = await writeSafetensors(path, tensorsOf(Float32Array.of(1), layOut([{ name: 'w', shape: [1] }])));
  await expect(writeSafetensors(path, [{ name: 'w', dtype: 'F32', shape: [2], data: Float32Array.of(1) }])).rejects.toThrow(
    '4 bytes for shape [2]',
  );
  expect(readFileSync(path)).toHaveLength(before.bytes);
  expect(readdirSync(folder)).toEqual(['model.safetensors']);
});
