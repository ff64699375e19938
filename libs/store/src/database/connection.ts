export type Value = string | number | null;

/** SQL that SQLite and PostgreSQL both take; `?` stands for the values in order. */
export interface Statement {
  readonly text: string;
  readonly values?: readonly Value[];
}

/** A row as either database gives it: whole numbers are numbers, exact up to 2^53. */
export type Row = Readonly<Record<string, Value>>;

/** The one connection that a server has to its database. LongtailError `storage`, `unreachable` or `refused` where it fails. */
export interface Connection {
  /** For people: a file, or an address without its password. */
  readonly name: string;
  select(statement: Statement): Promise<readonly Row[]>;
  /** All of them or none. Durable when it resolves; `lazily`: against a kill, but a power cut may undo it. One write after the other. */
  write(statements: readonly Statement[], lazily?: boolean): Promise<void>;
  close(): Promise<void>;
}
