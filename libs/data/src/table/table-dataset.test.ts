import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeCsv } from './csv.js';
import { concatTables } from './table.js';
import { MAX_CATEGORIES, MAX_CLASSES, tableDataset } from './table-dataset.js';

type Task = 'classification' | 'regression';

const open = (csv: string, task: Task = 'regression', validationFraction = 0) =>
  tableDataset(decodeCsv(new TextEncoder().encode(csv), { target: 'y', features: undefined }, 't.csv'), {
    name: 't.csv',
    target: 'y',
    task,
    validationFraction,
  });

const all = (length: number): number[] => Array.from({ length }, (_, i) => i);

test('numbers are standardised, texts one-hot in order, missing values neutral', () => {
  const data = open('x,colour,flat,y\n1,red,7,10\n3,blue,7,20\n,,7,30\n2,red,7,40\n');
  expect(data.signature).toEqual({ inputShape: [4], inputType: 'float32', targetShape: [1], targetType: 'float32', classes: undefined });
  const { inputs, targets } = data.batch('train', all(4));
  const s = Math.fround(1 / Math.sqrt(2 / 3));
  expect([...inputs.data]).toEqual([-s, 0, 1, 0, s, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  expect(inputs.shape).toEqual([4, 4]);
  expect(targets).toEqual({ dtype: 'float32', shape: [4, 1], data: Float32Array.of(10, 20, 30, 40) });
});

test('labels are the distinct targets in order; rows without one are left out', () => {
  const data = open('x,y\n1,b\n2,a\n3,\n4,b\n', 'classification');
  expect(data.classNames).toEqual(['a', 'b']);
  expect(data.signature).toMatchObject({ classes: 2, targetShape: [], targetType: 'int32' });
  expect(data.batch('train', all(3)).targets).toEqual({ dtype: 'int32', shape: [3], data: Int32Array.of(1, 0, 1) });
  expect(open('x,y\n1,10\n2,9\n3,NA\n', 'classification').classNames).toEqual(['9', '10']);
});

test('the split is the same each time, and its statistics are those of the training rows', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 4, maxLength: 60 }),
      fc.double({ min: 0, max: 0.7, noNaN: true }),
      (values, fraction) => {
        const csv = `x,y\n${values.map((value, i) => `${value},${i}`).join('\n')}\n`;
        const data = open(csv, 'regression', fraction);
        const rows = (split: 'train' | 'validation'): number[] => [...data.batch(split, all(data.length(split))).targets.data];
        expect(data.length('validation')).toBe(Math.floor(values.length * fraction));
        expect([...rows('train'), ...rows('validation')].sort((a, b) => a - b)).toEqual(all(values.length));
        expect(open(csv, 'regression', fraction).batch('train', [0])).toEqual(data.batch('train', [0]));
        const x = [...data.batch('train', all(data.length('train'))).inputs.data];
        const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
        const square = x.reduce((sum, v) => sum + v * v, 0) / x.length;
        expect(Math.abs(mean)).toBeLessThan(1e-5);
        if (new Set(rows('train').map((row) => values[row])).size > 1) expect(Math.abs(square - 1)).toBeLessThan(1e-5);
      },
    ),
  );
});

test('a text that only validation has is all zeros', () => {
  const data = open(
    `c,y\n${all(20)
      .map((i) => `t${i},${i}`)
      .join('\n')}\n`,
    'regression',
    0.5,
  );
  expect(data.signature.inputShape).toEqual([10]);
  expect(data.batch('validation', all(10)).inputs.data.every((value) => value === 0)).toBe(true);
  expect([...data.batch('train', all(10)).inputs.data].filter((value) => value === 1)).toHaveLength(10);
});

test('files of the same columns follow each other; others are refused', () => {
  const table = (csv: string) => ({
    table: decodeCsv(new TextEncoder().encode(csv), { target: 'y', features: undefined }, 't'),
    where: csv,
  });
  const joined = concatTables([table('c,y\nb,1\na,2\n'), table('c,y\na,3\n,4\n')]);
  expect(joined).toEqual({
    rows: 4,
    columns: new Map<string, unknown>([
      ['c', { kind: 'text', codes: Int32Array.of(0, 1, 1, -1), dictionary: ['b', 'a'] }],
      ['y', { kind: 'number', values: Float64Array.of(1, 2, 3, 4) }],
    ]),
  });
  expect(() => concatTables([table('c,y\nb,1\n'), table('c,y\n5,1\n')])).toThrow(/holds numbers/);
  expect(() => concatTables([table('c,y\nb,1\n'), table('d,y\nb,1\n')])).toThrow(/is not there/);
});

test.each<[string, string, Task, number, RegExp]>([
  ['no rows', 'x,y\n', 'regression', 0, /no row/],
  ['no row with a target', 'x,y\n1,\n', 'regression', 0, /no row/],
  ['everything for validation', 'x,y\n1,2\n', 'regression', 1, /train on/],
  ['only a target', 'y\n1\n', 'regression', 0, /no features/],
  ['a target that float32 does not hold', 'x,y\n1,1e39\n', 'regression', 0, /"y" holds 1e\+39; numbers may go up to 3\.40e\+38/],
  ['a feature that float32 does not hold', 'x,y\n1,1\n-1e300,2\n', 'regression', 0, /"x" holds -1e\+300/],
  ['regression on text', 'x,y\n1,high\n', 'regression', 0, /"high"/],
  [
    'too many texts',
    `x,y\n${all(MAX_CATEGORIES + 1)
      .map((i) => `t${i},1`)
      .join('\n')}`,
    'regression',
    0,
    /257 distinct/,
  ],
  [
    'too many labels',
    `x,y\n${all(MAX_CLASSES + 1)
      .map((i) => `1,${i}`)
      .join('\n')}`,
    'classification',
    0,
    /1001 distinct/,
  ],
])('%s is refused', (_, csv, task, fraction, message) => {
  expect(() => open(csv, task, fraction)).toThrow(
    expect.objectContaining({ code: 'invalid-data', message: expect.stringMatching(message) }),
  );
});

test('a sample that is not there is a programmer error', () => {
  expect(() => open('x,y\n1,2\n').batch('train', [1])).toThrow(RangeError);
});
