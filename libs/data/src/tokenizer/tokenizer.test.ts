import fc from 'fast-check';
import { expect, test } from 'vitest';
import { characterTokenizer, UNKNOWN_ID } from './character.js';
import { gpt2Tokenizer } from './gpt2.js';
import { createTokenizer, tokenizerFromJson, type TokenizerJson } from './index.js';

const text = fc.string({
  unit: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(' ', '\n', "'", 's', 'the', '<|endoftext|>', '\r') },
    fc.string({ unit: 'binary', minLength: 1, maxLength: 4 }),
  ),
  maxLength: 60,
});

test.each(['character', 'byte', 'gpt2'] as const)('%s: every text comes back from its tokens, also through JSON', async (name) => {
  await fc.assert(
    fc.asyncProperty(text, async (sample) => {
      const tokenizer = await createTokenizer(name, sample);
      const tokens = tokenizer.encode(sample);
      expect(tokens.every((token) => token < tokenizer.vocabularySize)).toBe(true);
      expect(tokenizer.decode(tokens)).toBe(sample);
      const restored = await tokenizerFromJson(JSON.parse(JSON.stringify(tokenizer)) as TokenizerJson);
      expect(restored.encode(sample)).toEqual(tokens);
      expect(restored.decode(tokens)).toBe(sample);
    }),
  );
});

test('characters are numbered in order; unknown ones share an id', () => {
  const tokenizer = characterTokenizer('banana');
  expect([...tokenizer.encode('nab')]).toEqual([3, 1, 2]);
  expect([...tokenizer.encode('nax')]).toEqual([3, 1, UNKNOWN_ID]);
  expect(tokenizer.decode([UNKNOWN_ID])).toBe('\uFFFD');
  expect(tokenizer.vocabularySize).toBe(4);
});

test('a vocabulary beyond a byte widens the tokens', () => {
  const wide = characterTokenizer(String.fromCodePoint(...Array.from({ length: 300 }, (_, i) => 0x4e00 + i)));
  expect(wide.encode('\u4e00')).toBeInstanceOf(Uint16Array);
  expect(wide.decode(wide.encode('\u4f2b'))).toBe('\u4f2b');
});

// Ids of the published GPT-2 vocabulary.
test('gpt2: known tokens', async () => {
  const tokenizer = await gpt2Tokenizer();
  expect([...tokenizer.encode('Hello, world!')]).toEqual([15496, 11, 995, 0]);
  expect(tokenizer.vocabularySize).toBe(50257);
});

test('gpt2: a long text cut into chunks has the tokens of the whole', async () => {
  const tokenizer = await gpt2Tokenizer();
  const { default: encoding } = await import('gpt-tokenizer/encoding/r50k_base');
  const long = Array.from(
    { length: 60_000 },
    (_, i) => ['whale', '  ship', "\n\nIt's", ' 1851', '...', '\t '][(i * 7 + (i >> 3)) % 6],
  ).join('');
  expect(long.length).toBeGreaterThan(2 ** 18);
  expect([...tokenizer.encode(long)]).toEqual(encoding.encode(long));
});

test('an unknown tokenizer is refused by name', async () => {
  await expect(tokenizerFromJson({ name: 'bpe' } as unknown as TokenizerJson)).rejects.toMatchObject({
    code: 'invalid-file',
    message: expect.stringContaining('bpe'),
  });
});
