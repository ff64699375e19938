import type { Tokenizer } from './tokenizer.js';

/** Characters a call of the encoder; its merge buffers grow with what it is given. */
const ENCODE_CHUNK = 1 << 18;
const NO_SPECIAL_TOKENS = new Set<string>();

/**
 * Byte-pair encoding of GPT-2 (Radford et al. 2019), `r50k_base`. Names of special tokens inside a text are text.
 * The tables load on first use: most jobs never need their 50,257 entries.
 */
export async function gpt2Tokenizer(): Promise<Tokenizer> {
  const { default: encoding } = await import('gpt-tokenizer/encoding/r50k_base');
  return {
    name: 'gpt2',
    vocabularySize: encoding.vocabularySize,
    encode(text) {
      const parts: Uint16Array[] = [];
      let length = 0;
      for (const [start, end] of chunks(text)) {
        const part = Uint16Array.from(encoding.encode(text.slice(start, end), { disallowedSpecial: NO_SPECIAL_TOKENS }));
        parts.push(part);
        length += part.length;
      }
      const tokens = new Uint16Array(length);
      let offset = 0;
      for (const part of parts) {
        tokens.set(part, offset);
        offset += part.length;
      }
      return tokens;
    },
    decode: (tokens) => encoding.decode(tokens),
    toJSON: () => ({ name: 'gpt2' }),
  };
}

/**
 * Cuts where GPT-2's pre-tokenizer cuts too, so that the tokens are those of the whole text: before white space that
 * follows something else. No token of its pattern spans such a place, and only white space looks ahead.
 */
function* chunks(text: string): Generator<[start: number, end: number]> {
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + ENCODE_CHUNK, text.length);
    while (end < text.length && !(isSpace(text, end) && !isSpace(text, end - 1))) end++;
    yield [start, end];
    start = end;
  }
}

/** Of the ASCII white space only: it suffices to find a place to cut, and is never half of a character. */
function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}
