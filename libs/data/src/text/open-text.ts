import { LongtailError, type BlobCache, type DataSpec, type LocalFile } from '@longtail/core';
import { readVerified } from '../data-files.js';
import { gunzipped } from '../gzip.js';
import type { OpenDataset, OpenOptions } from '../open-dataset.js';
import { sha256Hex } from '../sha256.js';
import { createTokenizer, type Tokenizer, type Tokens } from '../tokenizer/index.js';
import { decodeText, joinTexts } from './decode-text.js';
import { textDataset } from './text-dataset.js';

type TextSpec = Extract<DataSpec, { readonly type: 'gutenberg' | 'text' }>;

/** Changes when a tokenizer or the decoding of texts does, so that no stale tokens are taken from a cache. */
const CACHE_FORMAT = 1;

/**
 * Opens text. The last `validationFraction` of the tokens is the validation split; the vocabulary of the character
 * tokenizer comes from the rest alone.
 */
export async function openText(spec: TextSpec, files: readonly LocalFile[], { source, cache }: OpenOptions): Promise<OpenDataset> {
  const encoding = spec.type === 'gutenberg' ? 'latin1' : spec.encoding;
  const texts: string[] = [];
  for (const file of files) texts.push(decodeText(await gunzipped(await readVerified(file, source), file.path), encoding, file.path));
  const text = joinTexts(texts);
  const name = spec.type === 'gutenberg' ? 'gutenberg' : spec.paths.join(', ');
  if (text.length === 0) throw new LongtailError('The text is empty.', { code: 'invalid-data', where: name });

  // One character is one token here, so the vocabulary's share of the text is known before there are tokens.
  const trainingText = spec.tokenizer === 'character' ? charactersBefore(text, spec.validationFraction) : '';
  const tokenizer = await createTokenizer(spec.tokenizer, trainingText);
  const tokens = await cachedTokens(tokenizer, text, `${encoding}-${files.map((file) => file.sha256).join('-')}`, cache);
  const cut = tokens.length - Math.floor(tokens.length * spec.validationFraction);
  return textDataset({ name, tokenizer, train: tokens.subarray(0, cut), validation: tokens.subarray(cut), sequence: spec.sequence });
}

/** The text without the last `fraction` of its characters, never cutting one in two. */
function charactersBefore(text: string, fraction: number): string {
  const characters = countCodePoints(text);
  let left = characters - Math.floor(characters * fraction);
  let end = 0;
  while (left-- > 0) end += text.codePointAt(end)! > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

function countCodePoints(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++, count++) if (text.codePointAt(i)! > 0xffff) i++;
  return count;
}

/** GPT-2's tokens are worth keeping; the other tokenizers are faster than a cache. */
async function cachedTokens(tokenizer: Tokenizer, text: string, content: string, cache: BlobCache | undefined): Promise<Tokens> {
  if (tokenizer.name !== 'gpt2' || !cache) return tokenizer.encode(text);
  const key = `tokens-${CACHE_FORMAT}-${tokenizer.name}-${await sha256Hex(new TextEncoder().encode(content))}`;
  const bytes = await cache.get(key);
  if (bytes && bytes.length % 2 === 0) {
    const tokens = new Uint16Array(new Uint8Array(bytes).buffer);
    if (tokens.every((token) => token < tokenizer.vocabularySize)) return tokens;
  }
  const tokens = tokenizer.encode(text);
  await cache.put(key, new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength));
  return tokens;
}
