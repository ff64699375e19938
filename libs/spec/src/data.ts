import type { DataSpec } from '@longtail/core';
import { z } from 'zod';
import { choice, integer, oneOf, real } from './fields.js';

const TOKENIZERS = ['character', 'byte', 'gpt2'] as const;

const validationFraction = real({ min: 0.001, max: 0.9 }).default(0.1).describe('Fraction of the data held back for validation');
const tokenizer = oneOf('tokenizer', TOKENIZERS).default('character').describe('How text becomes tokens');
const sequence = integer({ min: 2, max: 1_048_576 }).default(128).describe('Tokens a sample');
const paths = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: 'must be a path or URL, or a list of them' })
  .describe('Path (relative to this file) or URL, or a list of them');

const mnist = z
  .strictObject({ type: z.literal('mnist').describe('60,000 + 10,000 handwritten digits, 28×28; comes as a package') })
  .describe('MNIST');

const fashionMnist = z
  .strictObject({
    type: z.literal('fashion-mnist').describe('60,000 + 10,000 pictures of clothes, 28×28'),
    path: z.string().min(1).describe('Folder with the four IDX files, gzipped or not; relative to this file'),
  })
  .describe('Fashion-MNIST');

const gutenberg = z
  .strictObject({
    type: z.literal('gutenberg').describe('11.7 MB of English books; comes as a package'),
    tokenizer,
    sequence,
    validationFraction,
  })
  .describe('Books from Project Gutenberg');

const text = z
  .strictObject({
    type: z.literal('text').describe('Text files of your own'),
    path: paths,
    encoding: oneOf('encoding', ['utf8', 'latin1']).default('utf8').describe('Character encoding of the files'),
    tokenizer,
    sequence,
    validationFraction,
  })
  .describe('Text by path or URL');

const tableFields = {
  path: paths,
  target: z.string().min(1).describe('Column to predict'),
  features: z.array(z.string().min(1)).min(1).optional().describe('Columns to predict it from; default: all others'),
  task: oneOf('task', ['classification', 'regression']).default('classification').describe('Is the target a label or a number'),
  validationFraction,
};
const csv = z
  .strictObject({ type: z.literal('csv').describe('Comma-separated table with a header line'), ...tableFields })
  .describe('CSV by path or URL');
const parquet = z.strictObject({ type: z.literal('parquet').describe('Parquet table'), ...tableFields }).describe('Parquet by path or URL');

/** The data section of a job file. */
export const dataSchema = choice('data set', [mnist, fashionMnist, gutenberg, text, csv, parquet]).transform((data): DataSpec => {
  switch (data.type) {
    case 'text': {
      const { path, ...rest } = data;
      return { ...rest, paths: [path].flat() };
    }
    case 'csv':
    case 'parquet': {
      const { path, features, ...rest } = data;
      return { ...rest, paths: [path].flat(), features };
    }
    default:
      return data;
  }
});
