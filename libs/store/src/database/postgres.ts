import { LongtailError, type ErrorCode } from '@longtail/core';
import pg from 'pg';
import type { Connection, Row, Statement } from './connection.js';

const CONNECT_MS = 5000;
const STATEMENT_MS = 15_000;
/** A server that was killed just now is about to lose the lock. */
const LOCK_MS = 1000;
/** "longtail" as a number: what this database is locked by. */
const LOCK = 0x6c6f6e67;
/** The type of `bigint`, which pg gives as text. */
const BIGINT = 20;

/** When a machine is gone its lock ends after half a minute. */
const SETTINGS = `set lock_timeout = ${LOCK_MS}; set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4`;

/** Begins of SQLSTATEs, the more precise one first. */
const PROBLEMS: readonly (readonly [state: string, code: ErrorCode, hint: string])[] = [
  ['3D000', 'unreachable', 'Make it: createdb NAME.'],
  ['55P03', 'storage', 'Stop the other server that uses this database, or give this one a database of its own.'],
  ['28', 'refused', 'Check user and password: in the URL, PGUSER and PGPASSWORD, or ~/.pgpass.'],
  ['42501', 'refused', 'Grant the user the rights to make tables and to write them.'],
  ['53100', 'storage', "Free some space on the database server's disk."],
  ['08', 'unreachable', 'Check that the database server runs.'],
  ['53', 'unreachable', 'The database server is busy: raise its limits.'],
  ['57', 'unreachable', 'The database server is stopping or starting: try again.'],
];

/**
 * A PostgreSQL database, by its URL. One server has it at a time: the connection holds a lock that ends with it. A connection
 * that breaks is made anew when it is needed next. LongtailError `unreachable`, `refused`, `storage`, `usage`.
 */
export async function connectPostgres(url: string): Promise<Connection> {
  const connection = new PostgresConnection(url, withoutPassword(url));
  await connection.select({ text: 'select 1' });
  return connection;
}

/** The URL as people may see it. LongtailError `usage` when it is none. */
export function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url);
    parsed.password = '';
    parsed.searchParams.delete('password');
    return parsed.href;
  } catch {
    throw new LongtailError('The database is not a URL like postgres://user@host:5432/name.', { code: 'usage', where: '--database' });
  }
}

class PostgresConnection implements Connection {
  private client: pg.Client | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly url: string,
    readonly name: string,
  ) {}

  select(statement: Statement): Promise<readonly Row[]> {
    return this.inTurn(async (client) => (await run(client, statement)).rows as Row[]);
  }

  write(statements: readonly Statement[], lazily = false): Promise<void> {
    return this.inTurn(async (client) => {
      await client.query(`begin; set local synchronous_commit = ${lazily ? 'off' : 'on'}`);
      try {
        for (const statement of statements) await run(client, statement);
        await client.query('commit');
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.turn;
    await this.client?.end();
  }

  private inTurn<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const result = this.turn.then(async () => {
      try {
        return await work((this.client ??= await this.connect()));
      } catch (cause) {
        throw this.known(cause);
      }
    });
    this.turn = result.catch(() => undefined);
    return result;
  }

  private async connect(): Promise<pg.Client> {
    if (this.closed) throw new Error(`${this.name} is closed`);
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'longtail',
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: STATEMENT_MS,
      keepAlive: true,
      types: { getTypeParser: ((type: number, format: 'text') => (type === BIGINT ? Number : pg.types.getTypeParser(type, format))) as typeof pg.types.getTypeParser },
    });
    const gone = (): void => {
      if (this.client === client) this.client = undefined;
    };
    client.on('error', gone);
    client.on('end', gone);
    try {
      await client.connect();
      await client.query(SETTINGS);
      await client.query('select pg_advisory_lock($1)', [LOCK]);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
  }

  private known(cause: unknown): LongtailError {
    const { code = '', message } = cause as { readonly code?: string; readonly message: string };
    const [, kind, hint] = PROBLEMS.find(([state]) => code.startsWith(state)) ?? [];
    const details = { where: this.name, cause };
    if (code === '55P03') return new LongtailError('Another server uses this database.', { ...details, code: 'storage', hint });
    if (kind !== undefined) return new LongtailError(`The database refuses: ${message}.`, { ...details, code: kind, hint });
    if (cause instanceof pg.DatabaseError) return new LongtailError(`The database reports: ${message}.`, { ...details, code: 'storage' });
    // Whatever else it was, it was the way there: what this connection has under way is not to be trusted.
    void this.client?.end().catch(() => undefined);
    this.client = undefined;
    return new LongtailError(`The database cannot be reached: ${message || code}.`, {
      ...details,
      code: 'unreachable',
      hint: 'Start it, or check host and port: --database, LONGTAIL_DATABASE.',
    });
  }
}

function run(client: pg.Client, { text, values = [] }: Statement): Promise<pg.QueryResult> {
  let n = 0;
  return client.query(text.replace(/\?/g, () => `$${++n}`), [...values]);
}
