import { LongtailError, type TokenizerName } from '@longtail/core';
import { byteTokenizer } from './byte.js';
import { characterTokenizer, characterTokenizerFrom } from './character.js';
import { gpt2Tokenizer } from './gpt2.js';
import type { Tokenizer, TokenizerJson } from './tokenizer.js';

export type { Tokenizer, TokenizerJson, Tokens } from './tokenizer.js';

/** The tokenizer of a text data set; `trainingText` gives `character` its vocabulary. */
export async function createTokenizer(name: TokenizerName, trainingText: string): Promise<Tokenizer> {
  if (name === 'character') return characterTokenizer(trainingText);
  return name === 'byte' ? byteTokenizer() : gpt2Tokenizer();
}

/** The tokenizer that was stored beside a model. LongtailError `invalid-file`. */
export async function tokenizerFromJson(json: TokenizerJson): Promise<Tokenizer> {
  switch (json.name) {
    case 'character':
      return characterTokenizerFrom(json.characters);
    case 'byte':
      return byteTokenizer();
    case 'gpt2':
      return gpt2Tokenizer();
    default:
      throw new LongtailError(`Unknown tokenizer ${JSON.stringify((json as { name: unknown }).name)}.`, { code: 'invalid-file' });
  }
}
