import type { BlobCache, Dataset, FileSource } from '@longtail/core';
import type { Tokenizer } from './tokenizer/index.js';

/** A data set with what a model trained on it needs beside it to be of use. */
export interface OpenDataset extends Dataset {
  /** Of text. */
  readonly tokenizer: Tokenizer | undefined;
  /** What each label of a table stands for. */
  readonly classNames: readonly string[] | undefined;
}

export interface OpenOptions {
  readonly source: FileSource;
  /** Keeps the tokens of slow tokenizers between runs. */
  readonly cache?: BlobCache;
}
