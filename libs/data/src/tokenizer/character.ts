import type { Tokenizer, Tokens } from './tokenizer.js';

/** What a character outside the vocabulary becomes. */
export const UNKNOWN_ID = 0;
const UNKNOWN_CHARACTER = '\uFFFD';
const CODE_POINTS = 0x110000;
/** `String.fromCodePoint` takes its arguments on the stack. */
const DECODE_CHUNK = 8192;

/** A tokenizer whose vocabulary is the code points of `text`, ascending, with id 0 for all others. */
export function characterTokenizer(text: string): Tokenizer {
  const seen = new Uint8Array(CODE_POINTS);
  for (let i = 0; i < text.length; i++) {
    const codePoint = text.codePointAt(i)!;
    if (codePoint > 0xffff) i++;
    seen[codePoint] = 1;
  }
  const codePoints: number[] = [];
  for (let codePoint = seen.indexOf(1); codePoint !== -1; codePoint = seen.indexOf(1, codePoint + 1)) codePoints.push(codePoint);
  return ofCodePoints(codePoints);
}

/** The tokenizer that `toJSON` wrote. */
export function characterTokenizerFrom(characters: readonly string[]): Tokenizer {
  return ofCodePoints(characters.map((character) => character.codePointAt(0)!));
}

function ofCodePoints(codePoints: readonly number[]): Tokenizer {
  const vocabularySize = codePoints.length + 1;
  const ids = new Int32Array(CODE_POINTS).fill(UNKNOWN_ID);
  codePoints.forEach((codePoint, i) => (ids[codePoint] = i + 1));
  const characterOf = (id: number): number => codePoints[id - 1] ?? UNKNOWN_CHARACTER.codePointAt(0)!;

  return {
    name: 'character',
    vocabularySize,
    encode(text) {
      const tokens = allocate(vocabularySize, text.length);
      let count = 0;
      for (let i = 0; i < text.length; i++) {
        const codePoint = text.codePointAt(i)!;
        if (codePoint > 0xffff) i++;
        tokens[count++] = ids[codePoint];
      }
      return count === tokens.length ? tokens : tokens.slice(0, count);
    },
    decode(tokens) {
      let text = '';
      const characters = Array.from(tokens, characterOf);
      for (let i = 0; i < characters.length; i += DECODE_CHUNK) text += String.fromCodePoint(...characters.slice(i, i + DECODE_CHUNK));
      return text;
    },
    toJSON: () => ({ name: 'character', characters: codePoints.map((codePoint) => String.fromCodePoint(codePoint)) }),
  };
}

function allocate(vocabularySize: number, length: number): Tokens {
  if (vocabularySize <= 0x100) return new Uint8Array(length);
  return vocabularySize <= 0x10000 ? new Uint16Array(length) : new Int32Array(length);
}
