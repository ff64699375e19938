import { LongtailError, type Batch, type DataSignature } from '@longtail/core';
import type { OpenDataset } from '../open-dataset.js';
import type { Tokenizer, Tokens } from '../tokenizer/index.js';

export interface TextDatasetOptions {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  /** Training and validation split as they were tokenized. */
  readonly train: Tokens;
  readonly validation: Tokens;
  /** Tokens a sample. */
  readonly sequence: number;
}

/**
 * Text as windows of `sequence` tokens that do not overlap; targets are the tokens one further on. A split of n tokens
 * has ⌊(n − 1) / sequence⌋ samples. Inputs and targets are int32 [sequence]. LongtailError `invalid-data` when a split
 * is shorter than one sample (an empty validation split is allowed).
 */
export function textDataset({ name, tokenizer, train, validation, sequence }: TextDatasetOptions): OpenDataset {
  const splits = { train, validation };
  const samples = { train: countSamples(train, sequence), validation: countSamples(validation, sequence) };
  if (samples.train === 0 || (validation.length > 0 && samples.validation === 0)) {
    const short = samples.train === 0 ? 'train' : 'validation';
    throw new LongtailError(
      `The ${short === 'train' ? 'training' : 'validation'} text has ${splits[short].length} tokens; one sample of ${sequence} needs ${sequence + 1}.`,
      {
        code: 'invalid-data',
        where: name,
        hint:
          short === 'train'
            ? 'Use more text or a shorter `sequence`.'
            : 'Use more text, a shorter `sequence` or a larger `validationFraction` (0 for no validation).',
      },
    );
  }
  const signature: DataSignature = {
    inputShape: [sequence],
    inputType: 'int32',
    targetShape: [sequence],
    targetType: 'int32',
    classes: tokenizer.vocabularySize,
  };
  return {
    name,
    signature,
    tokenizer,
    classNames: undefined,
    length: (split) => samples[split],
    batch: (split, indices) => gather(splits[split], samples[split], sequence, indices),
  };
}

function countSamples(tokens: Tokens, sequence: number): number {
  return Math.max(0, Math.floor((tokens.length - 1) / sequence));
}

function gather(tokens: Tokens, samples: number, sequence: number, indices: readonly number[] | Int32Array): Batch {
  const inputs = new Int32Array(indices.length * sequence);
  const targets = new Int32Array(indices.length * sequence);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i];
    if (!(index >= 0 && index < samples)) throw new RangeError(`sample ${index} of ${samples}`);
    const start = index * sequence;
    inputs.set(tokens.subarray(start, start + sequence), i * sequence);
    targets.set(tokens.subarray(start + 1, start + 1 + sequence), i * sequence);
  }
  const shape = [indices.length, sequence];
  return { inputs: { dtype: 'int32', shape, data: inputs }, targets: { dtype: 'int32', shape, data: targets }, samples: indices.length };
}
