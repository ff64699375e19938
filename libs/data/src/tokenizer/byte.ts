import type { Tokenizer } from './tokenizer.js';

/** The bytes of UTF-8. Lone surrogates become U+FFFD. */
export function byteTokenizer(): Tokenizer {
  return {
    name: 'byte',
    vocabularySize: 256,
    encode: (text) => new TextEncoder().encode(text),
    decode: (tokens) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(tokens)),
    toJSON: () => ({ name: 'byte' }),
  };
}
