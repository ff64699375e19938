import { LongtailError, type AccessTable } from '@longtail/core';
import { accessTable } from './access-table.js';
import type { Connection } from './connection.js';
import { migrate } from './migrations.js';
import { NodeTable } from './node-table.js';
import { RunTable } from './run-table.js';
import { WriteBehind } from './write-behind.js';

/** What a server looks up by key or by query. Event logs and vectors are files: see docs/adr/0034. */
export interface Database {
  /** For people: a file, or an address without its password. */
  readonly name: string;
  readonly runs: RunTable;
  readonly nodes: NodeTable;
  readonly access: AccessTable;
  /** Of what is written without anybody waiting: the first failure, and `undefined` when all is written again. */
  onTrouble: (error: LongtailError | undefined) => void;
  /** What was put is tried once more, then the next server may have it. */
  close(): Promise<void>;
}

/** In memory, for a server that nobody starts again. */
export const IN_MEMORY = ':memory:';

/**
 * Opens `postgres://user@host:port/name`, or SQLite's file of that path, its schema brought up to date; one server at a time
 * may have it. LongtailError `unreachable`, `refused`, `usage`, and `storage` where another one has it or its schema is newer.
 */
export async function openDatabase(location: string): Promise<Database> {
  const connection = await connect(location);
  try {
    await migrate(connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
  const later = new WriteBehind(connection, (error) => database.onTrouble(error));
  const database: Database = {
    name: connection.name,
    runs: new RunTable(connection, later),
    nodes: new NodeTable(connection, later),
    access: accessTable(connection),
    onTrouble: () => undefined,
    async close() {
      await later.close();
      await connection.close();
    },
  };
  return database;
}

async function connect(location: string): Promise<Connection> {
  const [, scheme] = /^([a-z][a-z+]+):\/\//.exec(location) ?? [];
  // Each is loaded where it is asked for: most servers have a file, and most processes no database.
  if (scheme === undefined) return (await import('./sqlite.js')).connectSqlite(location);
  if (scheme === 'postgres' || scheme === 'postgresql') return (await import('./postgres.js')).connectPostgres(location);
  throw new LongtailError(`There is no database of kind ${scheme}.`, { code: 'usage', where: '--database', hint: 'It is the path of a file, or postgres://user@host:port/name.' });
}
