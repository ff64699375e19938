import { LongtailError, type Batch, type DataSignature, type Split } from '@longtail/core';
import type { OpenDataset } from '../open-dataset.js';
import { decodeIdx } from './idx.js';

/** One split as its IDX files hold it. */
export interface IdxSplit {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  /** Names of the two files, for errors. */
  readonly where: { readonly images: string; readonly labels: string };
}

interface Images {
  /** [samples, height, width], 0 … 255: four times smaller than what an engine takes. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
  readonly samples: number;
  readonly height: number;
  readonly width: number;
}

/** Rounded to float32, its product with a pixel is the pixel / 255 for each of the 256; a product is what vectorises. */
const SCALE = 1 / 255;

/**
 * Grey images with labels [0, classes). Inputs are float32 [height, width, 1] in [0, 1], targets int32 labels.
 * LongtailError `invalid-data` for files that are not IDX, are cut off, disagree or hold other labels.
 */
export function imageDataset(name: string, classes: number, splits: Readonly<Record<Split, IdxSplit>>): OpenDataset {
  const decoded = { train: decodeSplit(splits.train, classes), validation: decodeSplit(splits.validation, classes) };
  const { height, width } = decoded.train;
  if (decoded.validation.height !== height || decoded.validation.width !== width) {
    throw new LongtailError(
      `Validation images are ${decoded.validation.height} × ${decoded.validation.width} pixels, training images ${height} × ${width}.`,
      {
        code: 'invalid-data',
        where: splits.validation.where.images,
      },
    );
  }
  const signature: DataSignature = { inputShape: [height, width, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes };
  return {
    name,
    signature,
    tokenizer: undefined,
    classNames: undefined,
    length: (split) => decoded[split].samples,
    batch: (split, indices) => gather(decoded[split], indices),
  };
}

function decodeSplit(split: IdxSplit, classes: number): Images {
  const images = decodeIdx(split.images, 3, split.where.images);
  const labels = decodeIdx(split.labels, 1, split.where.labels);
  const [samples, height, width] = images.shape;
  if (images.data.length === 0) throw new LongtailError('The file holds no images.', { code: 'invalid-data', where: split.where.images });
  if (labels.shape[0] !== samples) {
    throw new LongtailError(`${labels.shape[0]} labels for ${samples} images.`, {
      code: 'invalid-data',
      where: split.where.labels,
      hint: 'Take both files from the same data set.',
    });
  }
  const stray = labels.data.findIndex((label) => label >= classes);
  if (stray !== -1) {
    throw new LongtailError(`Label ${labels.data[stray]} of image ${stray} is out of range: there are ${classes} classes.`, {
      code: 'invalid-data',
      where: split.where.labels,
    });
  }
  return { pixels: images.data, labels: labels.data, samples, height, width };
}

function gather({ pixels, labels, samples, height, width }: Images, indices: readonly number[] | Int32Array): Batch {
  const size = height * width;
  const inputs = new Float32Array(indices.length * size);
  const targets = new Int32Array(indices.length);
  for (let i = 0, to = 0; i < indices.length; i++) {
    const index = indices[i];
    if (!(index >= 0 && index < samples)) throw new RangeError(`sample ${index} of ${samples}`);
    targets[i] = labels[index];
    for (let from = index * size, end = from + size; from < end; from++, to++) inputs[to] = pixels[from] * SCALE;
  }
  return {
    inputs: { dtype: 'float32', shape: [indices.length, height, width, 1], data: inputs },
    targets: { dtype: 'int32', shape: [indices.length], data: targets },
    samples: indices.length,
  };
}
