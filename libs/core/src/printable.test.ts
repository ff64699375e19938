import { expect, test } from 'vitest';
import { printable } from './printable.js';

test('nothing that moves a cursor, rings, or ends a text is left', () => {
  const said = 'lent\u001b[2J\u001b]52;c;eA==\u0007\u0000\u009b1m\r\n\tö 日本 🙂';
  expect(printable(said)).toBe('lent [2J ]52;c;eA== 1m ö 日本 🙂');
  expect(printable(said, true)).toBe('lent [2J ]52;c;eA== 1m \n\tö 日本 🙂');
});
