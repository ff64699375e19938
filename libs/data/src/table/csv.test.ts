import { expect, test } from 'vitest';
import { decodeCsv } from './csv.js';

const decode = (text: string, columns: { target?: string; features?: readonly string[] } = {}) =>
  decodeCsv(new TextEncoder().encode(text), { target: columns.target ?? 'y', features: columns.features }, 'table.csv');

test('numbers, texts, quotes and missing cells', () => {
  const table = decode('\uFEFFx,name,y\r\n1, "a,b" ,0\r\nNA,,1\r\n-2.5e1,c,?\r\n\r\n');
  expect(table.rows).toBe(3);
  expect(table.columns.get('x')).toEqual({ kind: 'number', values: Float64Array.of(1, NaN, -25) });
  expect(table.columns.get('name')).toEqual({ kind: 'text', codes: Int32Array.of(0, -1, 1), dictionary: ['a,b', 'c'] });
  expect(table.columns.get('y')).toEqual({ kind: 'number', values: Float64Array.of(0, 1, NaN) });
});

test('a word among numbers makes the column text, and NA a text of it', () => {
  expect(decode('x,y\n1,0\nNA,0\nbig,0\n').columns.get('x')).toEqual({
    kind: 'text',
    codes: Int32Array.of(0, 1, 2),
    dictionary: ['1', 'NA', 'big'],
  });
});

test.each([';', '\t', '|'])('the delimiter %j is found', (delimiter) => {
  expect([...decode(['a', 'b', 'y'].join(delimiter) + '\n' + ['1', '2', '3'].join(delimiter)).columns.keys()]).toEqual(['a', 'b', 'y']);
});

test('only the columns named are read', () => {
  expect([...decode('a,b,c,y\n1,2,3,4\n', { features: ['c', 'a'] }).columns.keys()]).toEqual(['c', 'a', 'y']);
});

test('two columns of one name do no harm where neither is asked for', () => {
  expect([...decode('a,b,a,y\n1,2,3,4\n', { features: ['b'] }).columns.keys()]).toEqual(['b', 'y']);
});

test('more cells than the dictionary began with', () => {
  const table = decode(`x,y\n${Array.from({ length: 5000 }, (_, i) => `${i},t${i}`).join('\n')}`);
  expect(table.columns.get('x')).toEqual({ kind: 'number', values: Float64Array.from({ length: 5000 }, (_, i) => i) });
  expect(table.rows).toBe(5000);
});

test.each([
  ['an empty file', '', {}, { message: expect.stringContaining('empty') }],
  ['a missing target', 'size,prize\n1,2\n', { target: 'price' }, { hint: expect.stringContaining('Did you mean "prize"') }],
  ['a missing feature', 'size,y\n1,2\n', { features: ['siez'] }, { hint: expect.stringContaining('"size"') }],
  ['two columns of one name', 'a,b,a,y\n1,2,3,4\n', {}, { message: 'There are two columns "a".' }],
  ['a short line', 'a,y\n1,2\n3\n', {}, { where: 'table.csv:3' }],
  ['a quote left open', 'a,y\n"1,2\n', {}, { message: expect.stringContaining('Not valid CSV') }],
])('%s is refused', (_, text, columns, error) => {
  expect(() => decode(text, columns)).toThrow(expect.objectContaining({ code: 'invalid-data', ...error }));
});
