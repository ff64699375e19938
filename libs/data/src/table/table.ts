import { LongtailError, nearestName } from '@longtail/core';

/** A column in the least memory that batches can be made from. */
export type Column =
  /** NaN where a value is missing. */
  | { readonly kind: 'number'; readonly values: Float64Array }
  /** `dictionary[codes[row]]`; −1 where a value is missing. */
  | { readonly kind: 'text'; readonly codes: Int32Array; readonly dictionary: readonly string[] };

export interface Table {
  readonly rows: number;
  readonly columns: ReadonlyMap<string, Column>;
}

/** The columns to read: the target and the features named, or all. LongtailError `invalid-data` for a name that is not there, or there twice. */
export function selectColumns(
  available: readonly string[],
  target: string,
  features: readonly string[] | undefined,
  where: string,
): readonly string[] {
  for (const name of [target, ...(features ?? [])]) {
    if (available.includes(name)) continue;
    const near = nearestName(name, available);
    throw new LongtailError(`There is no column ${JSON.stringify(name)}.`, {
      code: 'invalid-data',
      where,
      hint:
        near === undefined
          ? `The columns are ${available.join(', ')}.`
          : `Did you mean ${JSON.stringify(near)}? The columns are ${available.join(', ')}.`,
    });
  }
  const wanted = features === undefined ? available : [...new Set([...features, target])];
  const twice = wanted.find((name) => available.indexOf(name) !== available.lastIndexOf(name));
  if (twice === undefined) return wanted;
  throw new LongtailError(`There are two columns ${JSON.stringify(twice)}.`, {
    code: 'invalid-data',
    where,
    hint: 'Give one of them another name, or leave them out: name the columns to use in `features`.',
  });
}

/** Collects the values of one column. */
export interface ColumnBuilder {
  push(value: number | string | undefined): void;
  build(): Column;
}

/** Numbers; `undefined` is missing. */
export function numberColumn(): ColumnBuilder {
  let values = new Float64Array(1024);
  let length = 0;
  return {
    push(value) {
      if (length === values.length) values = grown(values, new Float64Array(2 * length));
      values[length++] = typeof value === 'number' ? value : NaN;
    },
    build: () => ({ kind: 'number', values: values.slice(0, length) }),
  };
}

/** Texts, each stored once; `undefined` is missing. */
export function textColumn(): ColumnBuilder {
  let codes = new Int32Array(1024);
  let length = 0;
  const codeOf = new Map<string, number>();
  return {
    push(value) {
      if (length === codes.length) codes = grown(codes, new Int32Array(2 * length));
      if (value === undefined) {
        codes[length++] = -1;
        return;
      }
      const text = String(value);
      let code = codeOf.get(text);
      if (code === undefined) codeOf.set(text, (code = codeOf.size));
      codes[length++] = code;
    },
    build: () => ({ kind: 'text', codes: codes.slice(0, length), dictionary: [...codeOf.keys()] }),
  };
}

/** The rows of several files of the same columns, one file after the other. LongtailError `invalid-data` when they differ. */
export function concatTables(tables: readonly { readonly table: Table; readonly where: string }[]): Table {
  const [first, ...rest] = tables;
  if (rest.length === 0) return first.table;
  const columns = new Map<string, Column>();
  for (const [name, head] of first.table.columns) {
    const parts = tables.map(({ table, where }) => {
      const column = table.columns.get(name);
      if (column?.kind === head.kind) return column;
      const what = column === undefined ? 'is not there' : `holds ${column.kind}s`;
      throw new LongtailError(`Column ${JSON.stringify(name)} ${what}, but holds ${head.kind}s in ${first.where}.`, {
        code: 'invalid-data',
        where,
      });
    });
    columns.set(name, concatColumns(head.kind, parts));
  }
  return { rows: tables.reduce((sum, { table }) => sum + table.rows, 0), columns };
}

function concatColumns(kind: Column['kind'], parts: readonly Column[]): Column {
  const builder = kind === 'number' ? numberColumn() : textColumn();
  for (const part of parts) {
    if (part.kind === 'number') part.values.forEach((value) => builder.push(value));
    else part.codes.forEach((code) => builder.push(code === -1 ? undefined : part.dictionary[code]));
  }
  return builder.build();
}

function grown<T extends Float64Array | Int32Array>(values: T, larger: T): T {
  larger.set(values);
  return larger;
}
