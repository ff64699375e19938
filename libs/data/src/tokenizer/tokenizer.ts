import type { TokenizerName } from '@longtail/core';

/** Token ids in the narrowest type that holds the vocabulary. */
export type Tokens = Uint8Array | Uint16Array | Int32Array;

/** Text to token ids and back. `decode(encode(text))` is `text` for well-formed strings whose characters the vocabulary holds. */
export interface Tokenizer {
  readonly name: TokenizerName;
  /** Ids are [0, vocabularySize). */
  readonly vocabularySize: number;
  encode(text: string): Tokens;
  decode(tokens: Iterable<number>): string;
  toJSON(): TokenizerJson;
}

/** What has to go beside an exported model so that its text can be read again. */
export type TokenizerJson =
  | { readonly name: 'byte' | 'gpt2' }
  /** Id 0 is unknown; `characters[i]` is id `i + 1`. Code points, ascending. */
  | { readonly name: 'character'; readonly characters: readonly string[] };
