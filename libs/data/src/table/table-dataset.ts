import { LongtailError, type Batch, type DataSignature, type Split } from '@longtail/core';
import { epochOrder } from '../epoch-order.js';
import type { OpenDataset } from '../open-dataset.js';
import type { Column, Table } from './table.js';

export interface TableDatasetOptions {
  readonly name: string;
  readonly target: string;
  readonly task: 'classification' | 'regression';
  /** Of the rows, drawn with a fixed seed: every job on this table is judged on the same ones. */
  readonly validationFraction: number;
}

/** Most distinct texts of a feature, and labels of a target. */
export const MAX_CATEGORIES = 256;
export const MAX_CLASSES = 1000;
const MOST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** A feature as it goes into a batch: `width` values at `offset` of the row. */
type Feature = { readonly offset: number; readonly width: number } & (
  | { readonly kind: 'number'; readonly values: Float64Array; readonly mean: number; readonly scale: number }
  /** `position[code]` is the place of its 1, or −1 for a text that the training split does not have. */
  | { readonly kind: 'text'; readonly codes: Int32Array; readonly position: Int32Array }
);

/**
 * A table as float32 features and one target. Numbers are standardised with mean and deviation of the training split
 * (a constant column becomes 0); texts become one-hot over those of the training split. Missing values: a number takes
 * the training mean (0 after standardising), a text all zeros, and a row without target is left out. Labels are the
 * distinct targets in order (numeric or by code unit); a regression target stays as it is, float32 [1].
 * LongtailError `invalid-data`.
 */
export function tableDataset(table: Table, options: TableDatasetOptions): OpenDataset {
  const { name, target, task, validationFraction } = options;
  const { targets, classNames, present } = task === 'classification' ? labelTarget(table, options) : numberTarget(table, options);
  for (const [column, values] of table.columns) if (values.kind === 'number') checkRange(column, values.values, name);
  const splits = splitRows(present, validationFraction, name);
  const features: Feature[] = [];
  let width = 0;
  for (const [column, values] of table.columns) {
    if (column === target) continue;
    const feature =
      values.kind === 'number' ? numberFeature(values.values, splits.train, width) : textFeature(column, values, splits.train, width, name);
    features.push(feature);
    width += feature.width;
  }
  if (width === 0)
    throw new LongtailError('The table has no features.', {
      code: 'invalid-data',
      where: name,
      hint: 'It needs a column besides the target.',
    });

  const signature: DataSignature = {
    inputShape: [width],
    inputType: 'float32',
    targetShape: classNames ? [] : [1],
    targetType: classNames ? 'int32' : 'float32',
    classes: classNames?.length,
  };
  return {
    name,
    signature,
    tokenizer: undefined,
    classNames,
    length: (split) => splits[split].length,
    batch: (split, indices) => gather(features, width, targets, splits[split], indices),
  };
}

interface Target {
  readonly targets: Int32Array | Float32Array;
  readonly classNames: readonly string[] | undefined;
  /** Rows that have one. */
  readonly present: Int32Array;
}

function labelTarget(table: Table, { name, target }: TableDatasetOptions): Target {
  const column = table.columns.get(target)!;
  const present = presentRows(column);
  const values = column.kind === 'number' ? column.values : column.codes;
  const seen = new Set<number>();
  for (const row of present) seen.add(values[row]);
  const distinct = [...seen];
  if (distinct.length > MAX_CLASSES) {
    throw new LongtailError(
      `Column ${JSON.stringify(target)} has ${distinct.length} distinct values; labels may have at most ${MAX_CLASSES}.`,
      {
        code: 'invalid-data',
        where: name,
        hint: column.kind === 'number' ? 'Use `task: regression` for a quantity.' : 'Choose another target column.',
      },
    );
  }
  if (column.kind === 'number') distinct.sort((a, b) => a - b);
  else distinct.sort((a, b) => (column.dictionary[a] < column.dictionary[b] ? -1 : 1));
  const labelOf = new Map(distinct.map((value, label) => [value, label]));
  return {
    targets: Int32Array.from(values, (value) => labelOf.get(value) ?? -1),
    classNames: distinct.map((value) => (column.kind === 'number' ? String(value) : column.dictionary[value])),
    present,
  };
}

function numberTarget(table: Table, { name, target }: TableDatasetOptions): Target {
  const column = table.columns.get(target)!;
  if (column.kind === 'text') {
    throw new LongtailError(
      `Column ${JSON.stringify(target)} holds text such as ${JSON.stringify(column.dictionary[0])}; regression needs numbers.`,
      {
        code: 'invalid-data',
        where: name,
        hint: 'Use `task: classification`, or another target column.',
      },
    );
  }
  return { targets: Float32Array.from(column.values), classNames: undefined, present: presentRows(column) };
}

/** Engines compute in float32, and statistics of what is far beyond it are not finite. */
function checkRange(column: string, values: Float64Array, name: string): void {
  const beyond = values.find((value) => Math.abs(value) > MOST_FLOAT32);
  if (beyond === undefined) return;
  throw new LongtailError(`Column ${JSON.stringify(column)} holds ${beyond}; numbers may go up to ${MOST_FLOAT32.toPrecision(3)}.`, {
    code: 'invalid-data',
    where: name,
    hint: 'Leave such cells empty where they mean that nothing is known, or give the column in a larger unit.',
  });
}

function presentRows(column: Column): Int32Array {
  const rows = new Int32Array(column.kind === 'number' ? column.values.length : column.codes.length);
  let count = 0;
  for (let row = 0; row < rows.length; row++) {
    if (column.kind === 'number' ? !Number.isNaN(column.values[row]) : column.codes[row] !== -1) rows[count++] = row;
  }
  return rows.subarray(0, count);
}

function splitRows(rows: Int32Array, validationFraction: number, name: string): Record<Split, Int32Array> {
  const validation = Math.floor(rows.length * validationFraction);
  if (rows.length - validation < 1) {
    throw new LongtailError(rows.length === 0 ? 'The table has no row with a target.' : 'No row is left to train on.', {
      code: 'invalid-data',
      where: name,
    });
  }
  const shuffled = epochOrder(rows.length, 0, 0)
    .indices({ start: 0, end: rows.length })
    .map((at) => rows[at]);
  return { train: shuffled.subarray(validation).sort(), validation: shuffled.subarray(0, validation).sort() };
}

function numberFeature(values: Float64Array, train: Int32Array, offset: number): Feature {
  let count = 0;
  let mean = 0;
  let squares = 0;
  for (const row of train) {
    const value = values[row];
    if (Number.isNaN(value)) continue;
    // Welford 1962: no cancellation for large means.
    const delta = value - mean;
    mean += delta / ++count;
    squares += delta * (value - mean);
  }
  const deviation = Math.sqrt(squares / Math.max(1, count));
  return { kind: 'number', offset, width: 1, values, mean, scale: deviation > 0 ? 1 / deviation : 0 };
}

function textFeature(column: string, values: Column & { kind: 'text' }, train: Int32Array, offset: number, name: string): Feature {
  const position = new Int32Array(values.dictionary.length).fill(-1);
  for (const row of train) if (values.codes[row] !== -1) position[values.codes[row]] = 0;
  const known = [...position.keys()]
    .filter((code) => position[code] === 0)
    .sort((a, b) => (values.dictionary[a] < values.dictionary[b] ? -1 : 1));
  if (known.length > MAX_CATEGORIES) {
    throw new LongtailError(
      `Column ${JSON.stringify(column)} has ${known.length} distinct texts; a feature may have at most ${MAX_CATEGORIES}.`,
      {
        code: 'invalid-data',
        where: name,
        hint: 'Leave it out: name the columns to use in `features`.',
      },
    );
  }
  known.forEach((code, place) => (position[code] = place));
  return { kind: 'text', offset, width: known.length, codes: values.codes, position };
}

function gather(
  features: readonly Feature[],
  width: number,
  targets: Int32Array | Float32Array,
  rows: Int32Array,
  indices: readonly number[] | Int32Array,
): Batch {
  const inputs = new Float32Array(indices.length * width);
  const batchTargets = targets instanceof Int32Array ? new Int32Array(indices.length) : new Float32Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i];
    if (!(index >= 0 && index < rows.length)) throw new RangeError(`sample ${index} of ${rows.length}`);
    const row = rows[index];
    batchTargets[i] = targets[row];
    for (const feature of features) {
      const to = i * width + feature.offset;
      if (feature.kind === 'number') {
        const value = feature.values[row];
        if (!Number.isNaN(value)) inputs[to] = (value - feature.mean) * feature.scale;
      } else {
        const place = feature.codes[row] === -1 ? -1 : feature.position[feature.codes[row]];
        if (place !== -1) inputs[to + place] = 1;
      }
    }
  }
  return {
    inputs: { dtype: 'float32', shape: [indices.length, width], data: inputs },
    targets:
      targets instanceof Int32Array
        ? { dtype: 'int32', shape: [indices.length], data: batchTargets }
        : { dtype: 'float32', shape: [indices.length, 1], data: batchTargets },
    samples: indices.length,
  };
}
