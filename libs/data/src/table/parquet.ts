import { LongtailError } from '@longtail/core';
import { parquetMetadata, parquetScan, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { TableColumns } from './csv.js';
import { numberColumn, selectColumns, textColumn, type Column, type ColumnBuilder, type Table } from './table.js';

type ParquetScan = Awaited<ReturnType<typeof parquetScan>>;

/**
 * Decodes Parquet, one column at a time. Integers, floats, decimals, booleans (0, 1) and dates (milliseconds since 1970)
 * are numbers; nulls are missing; nested columns are refused. LongtailError `invalid-data`.
 */
export async function decodeParquet(bytes: Uint8Array, { target, features }: TableColumns, where: string): Promise<Table> {
  // Views into a pool must not show their neighbours.
  const file = (bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : new Uint8Array(bytes).buffer) as ArrayBuffer;
  try {
    // Marking what is geography walks the schema by counts that the file gives, and a damaged one has it go round for ever.
    const metadata = parquetMetadata(file, { geoparquet: false });
    const scan = await parquetScan({ file, metadata, compressors });
    const available = parquetSchema(scan.metadata).children.map((child) => child.element.name);
    const rows = Number(metadata.num_rows);
    const columns = new Map<string, Column>();
    for (const name of selectColumns(available, target, features, where)) {
      const column = await readColumn(scan, name, where);
      const { length } = column.kind === 'number' ? column.values : column.codes;
      if (length !== rows) throw new Error(`column ${JSON.stringify(name)} has ${length} values for ${rows} rows`);
      columns.set(name, column);
    }
    return { rows, columns };
  } catch (cause) {
    if (cause instanceof LongtailError) throw cause;
    throw new LongtailError(`Not a valid Parquet file: ${cause instanceof Error ? cause.message : String(cause)}.`, {
      code: 'invalid-data',
      where,
      cause,
    });
  }
}

async function readColumn(scan: ParquetScan, name: string, where: string): Promise<Column> {
  let builder: ColumnBuilder | undefined;
  let missingBefore = 0;
  for (const range of scan.ranges) {
    for (const value of (await scan.readColumn({ column: name, ...range })) as ArrayLike<unknown> & Iterable<unknown>) {
      const cell = toCell(value, name, where);
      if (cell === undefined && builder === undefined) {
        missingBefore++;
        continue;
      }
      if (builder === undefined) {
        builder = typeof cell === 'string' ? textColumn() : numberColumn();
        for (let i = 0; i < missingBefore; i++) builder.push(undefined);
      }
      builder.push(cell);
    }
  }
  if (builder) return builder.build();
  return { kind: 'number', values: new Float64Array(missingBefore).fill(NaN) };
}

function toCell(value: unknown, name: string, where: string): number | string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  if (value instanceof Date) return value.getTime();
  throw new LongtailError(`Column ${JSON.stringify(name)} holds neither numbers nor texts.`, {
    code: 'invalid-data',
    where,
    hint: 'Leave it out: name the columns to use in `features`.',
  });
}
