import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { LongtailError } from '@longtail/core';
import { DatabaseSync } from '@photostructure/sqlite';
import { asStorageError, makeFolder } from '../storage-error.js';
import type { Connection, Row, Statement } from './connection.js';

const MEMORY = ':memory:';
type Database = InstanceType<typeof DatabaseSync>;

/** SQLite's result codes; the rest are told as it says them. */
const BUSY = 5;
const PROBLEMS: Readonly<Record<number, readonly [problem: string, hint: string]>> = {
  8: ['it may not be written', 'Give yourself write access to it, or name another one: --database.'],
  10: ['the disk reports an error', 'Check the disk.'],
  11: ['it is damaged', 'Restore it from a backup. Or move it away: runs are found again in their folders, and everybody enrols anew.'],
  13: ['the disk is full', 'Free some space on this disk, or name another file: --database.'],
  14: ['it cannot be opened', 'Give yourself write access to its folder, or name another one: --database.'],
  26: ['it is no database of Longtail', 'Name another file: --database.'],
};

/**
 * A database in a file that its owner alone may read, or in memory (`:memory:`). One server has it at a time; others may look
 * into it meanwhile. LongtailError `storage`.
 */
export async function connectSqlite(path: string): Promise<Connection> {
  if (path === MEMORY) return new SqliteConnection(path, new DatabaseSync(path));
  await makeFolder('open the database', dirname(path), 0o700);
  try {
    for (const file of [path, lockOf(path)]) closeSync(openSync(file, 'a', 0o600));
  } catch (cause) {
    throw asStorageError(cause, 'open the database', path);
  }
  const lock = take(path);
  try {
    const database = new DatabaseSync(path);
    database.exec('pragma journal_mode = wal'); // readers do not hold this server up
    return new SqliteConnection(path, database, lock);
  } catch (cause) {
    lock.close();
    throw asDatabaseError(cause, path);
  }
}

function lockOf(path: string): string {
  return `${path}-lock`;
}

/** The system ends this lock with the process that has it, however that ends. */
function take(path: string): Database {
  const lock = new DatabaseSync(lockOf(path));
  try {
    lock.exec('pragma locking_mode = exclusive; begin exclusive');
    return lock;
  } catch (cause) {
    lock.close();
    if ((cause as { readonly errcode?: number }).errcode !== BUSY) throw asDatabaseError(cause, path);
    throw new LongtailError('Another server uses this database.', {
      code: 'storage',
      where: path,
      hint: 'Stop that server, or start this one with --state FOLDER and --port PORT.',
      cause,
    });
  }
}

class SqliteConnection implements Connection {
  constructor(
    readonly name: string,
    private readonly database: Database,
    private readonly lock?: Database,
  ) {}

  async select({ text, values = [] }: Statement): Promise<readonly Row[]> {
    try {
      return this.database.prepare(text).all(...values) as Row[];
    } catch (cause) {
      throw asDatabaseError(cause, this.name);
    }
  }

  async write(statements: readonly Statement[], lazily = false): Promise<void> {
    try {
      // A sync stops the event loop: only what must survive a power cut waits for the disk.
      this.database.exec(`pragma synchronous = ${lazily ? 'normal' : 'full'}; begin immediate`);
      for (const { text, values = [] } of statements) this.database.prepare(text).run(...values);
      this.database.exec('commit');
    } catch (cause) {
      if (this.database.isTransaction) this.database.exec('rollback');
      throw asDatabaseError(cause, this.name);
    }
  }

  async close(): Promise<void> {
    this.database.close();
    this.lock?.close();
  }
}

function asDatabaseError(cause: unknown, where: string): unknown {
  const { errcode } = cause as { readonly errcode?: number };
  if (errcode === undefined) return cause;
  const [problem, hint] = PROBLEMS[errcode & 0xff] ?? [(cause as Error).message, undefined];
  return new LongtailError(`Cannot use the database: ${problem}.`, { code: 'storage', where, hint, cause });
}
