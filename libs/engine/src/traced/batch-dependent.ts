import { LongtailError } from '@longtail/core';

/**
 * Plain data in which numbers may depend on the batch: `{ batch, plus }` stands for batch · B + plus. Numbers that JSON has no
 * word for are `{ number: 'Infinity' }` and the like.
 */
export type Data = number | string | boolean | null | readonly Data[] | { readonly [key: string]: Data };

/** The same data, as it was for three sizes of batch, as one. Throws LongtailError where it depends on them otherwise than by a line. */
export function merge(sizes: readonly [number, number, number], values: readonly [unknown, unknown, unknown]): Data {
  const [a, b, c] = values;
  if (Array.isArray(a) && Array.isArray(b) && Array.isArray(c) && a.length === b.length && a.length === c.length) {
    return a.map((item, i) => merge(sizes, [item, b[i], c[i]]));
  }
  if (isRecord(a) && isRecord(b) && isRecord(c) && Object.keys(a).join() === Object.keys(b).join() && Object.keys(a).join() === Object.keys(c).join()) {
    const entries = Object.keys(a).filter((key) => a[key] !== undefined);
    return Object.fromEntries(entries.map((key) => [key, merge(sizes, [a[key], b[key], c[key]])]));
  }
  if (typeof a === 'number' && typeof b === 'number' && typeof c === 'number') return line(sizes, [a, b, c]);
  if (a === b && a === c && (a === null || ['string', 'boolean'].includes(typeof a))) return a as Data;
  throw dependent();
}

function line([n0, n1, n2]: readonly [number, number, number], [a, b, c]: readonly [number, number, number]): Data {
  if (Object.is(a, b) && Object.is(a, c)) return Number.isFinite(a) ? a : { number: String(a) };
  const batch = (b - a) / (n1 - n0);
  const plus = a - batch * n0;
  if (Number.isInteger(batch) && Number.isInteger(plus) && batch * n2 + plus === c) return { batch, plus };
  throw dependent();
}

function dependent(): LongtailError {
  return new LongtailError('what it computes depends on how many samples a batch has', { code: 'invalid-file', hint: 'Let the batch be a dimension that every operation keeps: write -1 for it in tf.reshape, and draw no random numbers.' });
}

/** The data for a batch of so many samples. */
export function evaluate(data: Data, samples: number): unknown {
  if (Array.isArray(data)) return data.map((item: Data) => evaluate(item, samples));
  if (!isRecord(data)) return data;
  if (typeof data.batch === 'number' && typeof data.plus === 'number') return data.batch * samples + data.plus;
  if (typeof data.number === 'string') return Number(data.number);
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, evaluate(value as Data, samples)]));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
