import type { Row, Statement, Value } from './connection.js';

/** A statement that puts a row into a table, in the place of one of the same key, the first column; of that one `kept` stays. */
export function upsert(table: string, row: Row, kept?: string): Statement {
  const columns = Object.keys(row);
  const [key, ...rest] = columns;
  const places = columns.map(() => '?').join(', ');
  const set = rest
    .filter((column) => column !== kept)
    .map((column) => `${column} = excluded.${column}`)
    .join(', ');
  return { text: `insert into ${table} (${columns.join(', ')}) values (${places}) on conflict (${key}) do update set ${set}`, values: Object.values(row) as Value[] };
}
