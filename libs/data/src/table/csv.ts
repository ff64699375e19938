import { LongtailError } from '@longtail/core';
import { parse } from 'csv-parse/sync';
import { numberColumn, selectColumns, textColumn, type Table } from './table.js';

export interface TableColumns {
  readonly target: string;
  /** Undefined: every column but the target. */
  readonly features: readonly string[] | undefined;
}

const DELIMITERS = [',', ';', '\t', '|'];
/** Cells of a column of numbers that mean there is none; in a column of text only an empty cell does. */
const MISSING_NUMBERS = new Set(['', 'na', 'n/a', 'nan', 'null', 'none', '?']);

/**
 * Decodes UTF-8 CSV with a header line; the delimiter (comma, semicolon, tab or bar) is the one the header has most of.
 * A column is of numbers when each cell is a finite number or missing, otherwise of text. LongtailError `invalid-data`.
 */
export function decodeCsv(bytes: Uint8Array, { target, features }: TableColumns, where: string): Table {
  const delimiter = sniffDelimiter(bytes);
  const header = readRecords(bytes, { delimiter, to: 1 }, where)[0] ?? [];
  if (header.length === 0) throw new LongtailError('The file is empty.', { code: 'invalid-data', where });
  const wanted = selectColumns(header, target, features, where).map((name) => ({ name, at: header.indexOf(name) }));

  const isText = wanted.map(() => false);
  for (;;) {
    const table = readColumns(wanted, isText, (visit) => void readRecords(bytes, { delimiter, from: 2 }, where, visit));
    if (table !== undefined) return table;
  }
}

/**
 * Most columns show in their first row what they hold. Undefined, and `isText` says more, where one does so later only: it is then read again, as
 * to keep every cell as a string takes many times a table's memory.
 */
function readColumns(
  wanted: readonly { readonly name: string; readonly at: number }[],
  isText: boolean[],
  each: (visit: (cells: readonly string[]) => void) => void,
): Table | undefined {
  const columns = isText.map((text) => (text ? textColumn() : numberColumn()));
  let rows = 0;
  let isMixed = false;
  each((cells) => {
    for (const [i, { at }] of wanted.entries()) {
      const cell = cells[at];
      const value = isText[i] ? cell || undefined : toNumber(cell);
      if (!Number.isNaN(value)) columns[i].push(value);
      else {
        isText[i] = true;
        if (rows > 0) isMixed = true;
        else (columns[i] = textColumn()).push(cell);
      }
    }
    rows++;
  });
  return isMixed ? undefined : { rows, columns: new Map(wanted.map(({ name }, i) => [name, columns[i].build()])) };
}

/** Undefined: missing. NaN: it is none. */
function toNumber(cell: string): number | undefined {
  const value = Number(cell);
  if (cell !== '' && Number.isFinite(value)) return value;
  return MISSING_NUMBERS.has(cell.toLowerCase()) ? undefined : NaN;
}

function sniffDelimiter(bytes: Uint8Array): string {
  const end = bytes.indexOf(0x0a);
  const header = new TextDecoder().decode(bytes.subarray(0, end === -1 ? undefined : end));
  const counts = DELIMITERS.map((delimiter) => header.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}

/** Records from line `from` on, or, with `visit`, each of them handed over and none kept. */
function readRecords(
  bytes: Uint8Array,
  range: { readonly delimiter: string; readonly from?: number; readonly to?: number },
  where: string,
  visit?: (cells: readonly string[]) => void,
): string[][] {
  try {
    return parse(bytes, {
      ...range,
      bom: true,
      trim: true,
      skip_empty_lines: true,
      on_record: (record: string[]) => {
        if (!visit) return record;
        visit(record);
        return null;
      },
    });
  } catch (cause) {
    throw asCsvError(cause, where);
  }
}

function asCsvError(cause: unknown, where: string): unknown {
  if (!(cause instanceof Error) || !('lines' in cause)) return cause;
  return new LongtailError(`Not valid CSV: ${cause.message}.`, {
    code: 'invalid-data',
    where: `${where}:${String(cause.lines)}`,
    hint: 'Each line needs as many cells as the header; cells that hold the delimiter or a quote go in double quotes.',
    cause,
  });
}
