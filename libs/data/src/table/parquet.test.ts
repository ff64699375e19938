import { expect, test } from 'vitest';
import { decodeParquet } from './parquet.js';

/**
 * Written by pyarrow 25.0.1, zstd, two row groups of three and one rows:
 * size [1.5, 2.5, null, 4], count [1, 2, 3, 4] (int64), ok [true, false, true, null], day 1970-01-02 (date32),
 * colour [null, blue, null, red], nested [[1], [2], [3], [4]].
 */
const FIXTURE = Buffer.from(
  'UEFSMRUEFSAVMkwVBBUAEgAAKLUv/SAQgQAAAAAAAAAA+D8AAAAAAAAEQBUAFRIVJCwVBhUQFQYVBhwAAAAotS/9IAlJAAACAAAAAwMBAwIVBBUwFTpMFQYVABIAACi1L/0gGKUAAGABAAIAAwAAAAAAAAACAGDgAWABFQAVFBUmLBUGFRAVBhUGHAAAACi1L/0gClEAAAIAAAAGAQIDJAAVABUOFSAsFQYVABUGFQYcAAAAKLUv/SAHOQAAAgAAAAYBBRUEFQgVGkwVAhUAEgAAKLUv/SAEIQAAAQAAABUAFRIVJCwVBhUQFQYVBhwAAAAotS/9IAlJAAACAAAABgEBBgAVBBUQFSJMFQIVABIAACi1L/0gCEEAAAQAAABibHVlFQAVEhUkLBUGFRAVBhUGHAAAACi1L/0gCUkAAAIAAAADAgECABUEFTAVOkwVBhUAEgAAKLUv/SAYpQAAYAEAAgADAAAAAAAAAAIAYOABYAEVABUgFTIsFQYVEBUGFQYcAAAAKLUv/SAQgQAAAgAAAAYAAgAAAAYDAgMkABUEFRAVIkwVAhUAEgAAKLUv/SAIQQAAAAAAAAAAEEAVABUSFSQsFQIVEBUGFQYcAAAAKLUv/SAJSQAAAgAAAAIBAQIAFQQVEBUiTBUCFQASAAAotS/9IAhBAAAEAAAAAAAAABUAFRIVJCwVAhUQFQYVBhwAAAAotS/9IAlJAAACAAAAAgEBAgAVABUMFR4sFQIVABUGFQYcAAAAKLUv/SAGMQAAAgAAAAIAFQQVCBUaTBUCFQASAAAotS/9IAQhAAABAAAAFQAVEhUkLBUCFRAVBhUGHAAAACi1L/0gCUkAAAIAAAACAQECABUEFQ4VIEwVAhUAEgAAKLUv/SAHOQAAAwAAAHJlZBUAFRIVJCwVAhUQFQYVBhwAAAAotS/9IAlJAAACAAAAAgEBAgAVBBUQFSJMFQIVABIAACi1L/0gCEEAAAQAAAAAAAAAFQAVHhUwLBUCFRAVBhUGHAAAACi1L/0gD3kAAAIAAAACAAIAAAACAwECABUEGZw1ABgGc2NoZW1hFQwAFQolAhgEc2l6ZQAVBCUCGAVjb3VudAAVACUCGAJvawAVAiUCGANkYXklDExsAAAAFQwlAhgGY29sb3VyJQBMHAAAADUCGAZuZXN0ZWQVAhUGTDwAAAA1BBgEbGlzdBUCABUEJQIYB2VsZW1lbnQAFggZLBlsJgAcFQoZNQAGEBkYBHNpemUVDBYGFnQWmAEmViYIKSwVBBUAFQIAFQAVEBUCADwpBhkmAgQAAAAmABwVBBk1AAYQGRgFY291bnQVDBYGFoYBFqIBJvYBJqABKSwVBBUAFQIAFQAVEBUCADwpBhkmAAYAAAAmABwVABklBgAZGAJvaxUMFgYWNBZGJsICSRwVABUAFQIAPCkGGSYABgAAACYAHBUCGTUABhAZGANkYXkVDBYGFlwWgAEmvgMmiAMpLBUEFQAVAgAVABUQFQIAPCkGGSYABgAAACYAHBUMGTUABhAZGAZjb2xvdXIVDBYGFmQWiAEmxgQmiAQpLBUEFQAVAgAVABUQFQIAPBYIGQYZJgQCAAAAJgAcFQQZNQAGEBk4Bm5lc3RlZARsaXN0B2VsZW1lbnQVDBYGFpIBFq4BJuYFJpAFKSwVBBUAFQIAFQAVEBUCADwpJgYAGUYAAAAGAAAAFoAFFgYmCBa2BgAZbCYAHBUKGTUABhAZGARzaXplFQwWAhZkFogBJvwGJr4GKSwVBBUAFQIAFQAVEBUCADwpBhkmAAIAAAAmABwVBBk1AAYQGRgFY291bnQVDBYCFmQWiAEmhAgmxgcpLBUEFQAVAgAVABUQFQIAPCkGGSYAAgAAACYAHBUAGSUGABkYAm9rFQwWAhYyFkQmzghJHBUAFQAVAgA8KQYZJgIAAAAAJgAcFQIZNQAGEBkYA2RheRUMFgIWXBaAASbICSaSCSksFQQVABUCABUAFRAVAgA8KQYZJgACAAAAJgAcFQwZNQAGEBkYBmNvbG91chUMFgIWYhaGASbOCiaSCiksFQQVABUCABUAFRAVAgA8FgYZBhkmAAIAAAAmABwVBBk1AAYQGTgGbmVzdGVkBGxpc3QHZWxlbWVudBUMFgIWcBaUASbWCyaYCyksFQQVABUCABUAFRAVAgA8KSYCABlGAAAAAgAAABaoBBYCJr4GFu4FACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNS4wLjEZbBwAABwAABwAABwAABwAABwAAACgAwAAUEFSMQ==',
  'base64',
);

const decode = (features: readonly string[] | undefined, target = 'count') => decodeParquet(FIXTURE, { target, features }, 'table.parquet');

test('numbers, booleans, dates and texts over row groups', async () => {
  const table = await decode(['size', 'ok', 'day', 'colour']);
  expect(table.rows).toBe(4);
  expect([...table.columns.keys()]).toEqual(['size', 'ok', 'day', 'colour', 'count']);
  expect(table.columns.get('size')).toEqual({ kind: 'number', values: Float64Array.of(1.5, 2.5, NaN, 4) });
  expect(table.columns.get('count')).toEqual({ kind: 'number', values: Float64Array.of(1, 2, 3, 4) });
  expect(table.columns.get('ok')).toEqual({ kind: 'number', values: Float64Array.of(1, 0, 1, NaN) });
  expect(table.columns.get('day')).toEqual({ kind: 'number', values: new Float64Array(4).fill(86_400_000) });
  expect(table.columns.get('colour')).toEqual({ kind: 'text', codes: Int32Array.of(-1, 0, -1, 1), dictionary: ['blue', 'red'] });
});

test('nested columns are refused by name', async () => {
  await expect(decode(undefined)).rejects.toMatchObject({
    code: 'invalid-data',
    message: expect.stringContaining('nested'),
    where: 'table.parquet',
  });
});

test('an unknown column suggests its neighbour', async () => {
  await expect(decode(['colour'], 'cuont')).rejects.toMatchObject({ code: 'invalid-data', hint: expect.stringContaining('"count"') });
});

/** The fixture with another byte at a place. */
const withByte = (at: number, byte: number): Uint8Array => Uint8Array.from(FIXTURE, (own, i) => (i === at ? byte : own));

test('a schema that leads back to its beginning is no way round for ever', async () => {
  expect((await decodeParquet(withByte(885, 3), { target: 'count', features: ['size'] }, 'table.parquet')).rows).toBe(4);
});

test('a file with a byte that is another one is refused, or has a value for each row', async () => {
  for (let at = 0; at < FIXTURE.length; at += 7) {
    await decodeParquet(withByte(at, FIXTURE[at]! ^ 0x41), { target: 'count', features: ['size', 'colour'] }, 'table.parquet').then(
      ({ rows, columns }) => {
        for (const column of columns.values()) expect(column.kind === 'number' ? column.values.length : column.codes.length).toBe(rows);
      },
      (error: unknown) => expect(error).toMatchObject({ code: 'invalid-data', where: 'table.parquet' }),
    );
  }
});

test.each([
  ['a column shorter than the others', withByte(51, 0)],
  ['no parquet', new TextEncoder().encode('size,count\n1,2\n')],
  ['an empty file', new Uint8Array()],
  ['a cut file', FIXTURE.subarray(0, 900)],
  ['a damaged column', Uint8Array.from(FIXTURE, (byte, i) => (i > 20 && i < 200 ? 0xff : byte))],
])('%s is refused', async (_, bytes) => {
  await expect(decodeParquet(bytes, { target: 'count', features: ['size'] }, 'table.parquet')).rejects.toMatchObject({
    code: 'invalid-data',
    where: 'table.parquet',
  });
});
