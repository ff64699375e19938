import { expect, test } from 'vitest';
import { decodeText, joinTexts } from './decode-text.js';

test('lines end alike, a byte-order mark goes, and Latin-1 is not windows-1252', () => {
  expect(decodeText(new TextEncoder().encode('\uFEFFä\r\nb\n'), 'utf8', 'a.txt')).toBe('ä\nb\n');
  expect(decodeText(Uint8Array.of(0xe4, 0x80), 'latin1', 'a.txt')).toBe('ä\u0080');
});

test('what is no UTF-8 is told, with the way out', () => {
  expect(() => decodeText(Uint8Array.of(0xe4, 0x62), 'utf8', 'a.txt')).toThrow(expect.objectContaining({ code: 'invalid-data', where: 'a.txt', hint: expect.stringContaining('latin1') as string }) as Error);
});

test('files are joined, each with its last line ended', () => {
  expect(joinTexts(['a', 'b\n', 'c'])).toBe('a\nb\nc');
});

test.each(['utf8', 'latin1'] as const)('a text that is too long for a string is not called something else: %s', (encoding) => {
  const tooLong = expect.objectContaining({ code: 'invalid-data', message: 'The text is too long: 512 MiB, and 512 MiB are the most.', where: 'a.txt' }) as Error;
  expect(() => decodeText(new Uint8Array(2 ** 29), encoding, 'a.txt')).toThrow(tooLong);
});

test('nor are several that are too long together', () => {
  const half = 'a'.repeat(2 ** 28);
  expect(() => joinTexts([half, half])).toThrow(expect.objectContaining({ code: 'invalid-data', message: expect.stringContaining('too long') as string }) as Error);
});
