import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccessEntries } from '@longtail/core';
import { startPostgres, type PostgresServer } from '@longtail/testing';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from './connection.js';
import { migrate, MIGRATIONS } from './migrations.js';
import { IN_MEMORY, openDatabase, type Database } from './open-database.js';
import { connectPostgres } from './postgres.js';
import type { RunEntry, RunStatus } from './run-table.js';
import { connectSqlite } from './sqlite.js';

let postgres: PostgresServer;
let folder: string;
const opened: Pick<Database, 'close'>[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-database-'));
  postgres = await startPostgres();
});
afterEach(async () => {
  for (const database of opened.splice(0)) await database.close();
});
afterAll(async () => {
  await postgres.dispose();
  rmSync(folder, { recursive: true });
});

async function open(location: string): Promise<Database> {
  const database = await openDatabase(location);
  opened.push(database);
  return database;
}

let files = 0;
const KINDS = {
  SQLite: { location: async () => join(folder, `state-${++files}`, 'longtail.db'), connect: connectSqlite },
  PostgreSQL: { location: () => postgres.database(), connect: connectPostgres },
};

const STATUSES: readonly RunStatus[] = ['running', 'interrupted', 'succeeded', 'failed', 'cancelled'];
const text = fc.string({ maxLength: 40, unit: fc.constantFrom(...'aB3 -\'"?;%_\\äß漢🦊') });
const moment = fc.integer({ min: 0, max: 8.64e15 });
const id = fc.integer({ min: 0, max: 30 }).map((n) => n.toString(16));
const anyRun: fc.Arbitrary<RunEntry> = fc.record({
  run: id,
  name: text,
  model: text,
  status: fc.constantFrom(...STATUSES),
  reason: text,
  folder: text,
  server: text,
  createdAtMs: moment,
  endedAtMs: fc.option(moment, { nil: undefined }),
  version: fc.nat(),
  samples: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
});
const anyToken = fc.record({ id, secret: text, role: fc.constantFrom('node' as const, 'admin' as const), createdAtMs: moment, expiresAtMs: moment, usesLeft: fc.nat(), revoked: fc.boolean() });
const anyIdentity = fc.record({ id, role: fc.constantFrom('node' as const, 'viewer' as const), name: text, token: text, enrolledAtMs: moment, expiresAtMs: moment, revoked: fc.boolean() });

describe.each(Object.entries(KINDS))('on %s', (_kind, { location: newLocation, connect }) => {
  let location: string;
  beforeEach(async () => {
    location = await newLocation();
  });

  async function reopened(database: Database): Promise<Database> {
    await database.close();
    opened.splice(opened.indexOf(database), 1);
    return open(location);
  }

  it('runs are what was put last, found by id, listed by age and status, over restarts', async () => {
    let database = await open(location);
    const expected = new Map<string, RunEntry>();
    const check = async (): Promise<void> => {
      const newestFirst = [...expected.values()].sort((a, b) => b.createdAtMs - a.createdAtMs || (a.run < b.run ? -1 : 1));
      expect(await database.runs.list({ limit: 1000 })).toEqual(newestFirst);
      expect(await database.runs.list({ limit: 2, status: 'failed' })).toEqual(newestFirst.filter(({ status }) => status === 'failed').slice(0, 2));
      expect((await database.runs.unfinished()).map(({ run }) => run).sort()).toEqual(newestFirst.filter(({ endedAtMs }) => endedAtMs === undefined).map(({ run }) => run).sort());
      expect(await database.runs.folders()).toEqual(new Set(newestFirst.map(({ folder }) => folder)));
    };
    await fc.assert(
      fc.asyncProperty(fc.array(anyRun, { maxLength: 6 }), async (entries) => {
        for (const entry of entries) {
          database.runs.put(entry);
          expected.set(entry.run, entry);
        }
        await check();
        for (const entry of entries) expect(await database.runs.find(entry.run)).toEqual(expected.get(entry.run));
      }),
      { numRuns: 20 },
    );
    expect(await database.runs.find('none')).toBeUndefined();
    database = await reopened(database);
    await check();
  });

  it('a node keeps its first moment, whatever it is called by then', async () => {
    const database = await open(location);
    const seen = { node: 'n1', name: 'ada', engine: 'wasm', device: 'cpu' };
    database.nodes.seen(seen, 10.4);
    database.nodes.seen({ ...seen, node: 'n2' }, 20);
    database.nodes.seen({ ...seen, name: 'bob', engine: 'tensorflow' }, 30);
    const expected = [
      { node: 'n1', name: 'bob', engine: 'tensorflow', device: 'cpu', firstSeenAtMs: 10, lastSeenAtMs: 30 },
      { node: 'n2', name: 'ada', engine: 'wasm', device: 'cpu', firstSeenAtMs: 20, lastSeenAtMs: 20 },
    ];
    expect(await database.nodes.list()).toEqual(expected);
    expect(await (await reopened(database)).nodes.list()).toEqual(expected);
  });

  it('tokens and identities come back as they were saved, until they are replaced or forgotten', async () => {
    const { access } = await open(location);
    const expected = { tokens: new Map<string, object>(), identities: new Map<string, object>() };
    const check = async (): Promise<void> => {
      const { tokens, identities } = await access.load();
      expect([new Map(tokens.map((entry) => [entry.id, entry])), new Map(identities.map((entry) => [entry.id, entry]))]).toEqual([expected.tokens, expected.identities]);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(anyToken, { maxLength: 4 }), fc.array(anyIdentity, { maxLength: 4 }), fc.boolean(), moment, async (tokens, identities, anew, beforeMs) => {
        await (anew ? access.replace({ tokens, identities }) : access.save({ tokens, identities }));
        if (anew) for (const entries of [expected.tokens, expected.identities]) entries.clear();
        for (const token of tokens) expected.tokens.set(token.id, token);
        for (const identity of identities) expected.identities.set(identity.id, identity);
        await check();
        await access.forget(beforeMs);
        for (const entries of [expected.tokens, expected.identities])
          for (const [id, entry] of entries) if ((entry as AccessEntries['tokens'][0]).expiresAtMs < beforeMs) entries.delete(id);
        await check();
      }),
      { numRuns: 20 },
    );
  });

  it('is of one server at a time, and of the next one when that ends', async () => {
    const first = await open(location);
    await expect(openDatabase(location)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining('Another server uses this database'), hint: expect.stringMatching(/Stop/) });
    await reopened(first);
  });

  it('is free when the server that had it was killed', async () => {
    const holder = holding(location);
    await holder.holds;
    holder.process.kill('SIGKILL');
    await holder.gone;
    expect(await (await open(location)).runs.find('held')).toMatchObject({ name: 'by another' });
  });

  it('of a newer schema is left alone; one of an older comes up to date with what it has, or stays as it is', async () => {
    const connection = await connect(location);
    await migrate(connection);
    await connection.write([{ text: "insert into nodes values ('n', 'ada', 'wasm', 'cpu', 1, 2)" }]);
    const next = [...MIGRATIONS, ["alter table nodes add column mood text not null default 'fine'"]];
    const broken = [...MIGRATIONS, ["alter table nodes add column mood text not null default 'fine'", 'alter table nowhere add column a text']];
    await expect(migrate(connection, broken)).rejects.toMatchObject({ code: 'storage' });
    expect(await connection.select({ text: 'select * from nodes' })).toEqual([expect.not.objectContaining({ mood: 'fine' })]);
    await migrate(connection, next);
    await migrate(connection, next);
    expect(await connection.select({ text: 'select name, mood from nodes' })).toEqual([{ name: 'ada', mood: 'fine' }]);
    await connection.close();
    await expect(openDatabase(location)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining(`schema ${next.length}; this version of Longtail knows ${MIGRATIONS.length}`), hint: expect.stringContaining('newer') });
  });

  it('takes all of a write or nothing', async () => {
    const connection: Connection = await connect(location);
    opened.push(connection);
    await migrate(connection);
    const row = (node: string) => ({ text: "insert into nodes values (?, 'ada', 'wasm', 'cpu', 1, 2)", values: [node] });
    await expect(connection.write([row('a'), row('b'), row('a')])).rejects.toMatchObject({ code: 'storage', where: connection.name });
    await connection.write([row('c')]);
    expect(await connection.select({ text: 'select node from nodes' })).toEqual([{ node: 'c' }]);
  });
});

/** A process of its own that has the database. */
function holding(location: string): { readonly process: ChildProcess; readonly holds: Promise<void>; readonly gone: Promise<unknown> } {
  const source = `
    import { openDatabase } from ${JSON.stringify(new URL('../../dist/database/open-database.js', import.meta.url).href)};
    const database = await openDatabase(process.argv[1]);
    const entry = { run: 'held', name: 'by another', model: '', status: 'running', reason: '', folder: '', server: '', createdAtMs: 0, version: 0, samples: 0 };
    database.runs.put(entry);
    await database.runs.find('held');
    process.send('holds');
    process.on('message', () => undefined);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, location], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return {
    process: child,
    holds: new Promise((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code) => reject(new Error(`the other server ended with ${code}`)));
    }),
    gone: new Promise((resolve) => child.once('exit', resolve)),
  };
}

describe('PostgreSQL', () => {
  it('that is away costs nothing that was put, and the lock is taken again', async () => {
    const location = await postgres.database();
    const database = await open(location);
    const troubles: (string | undefined)[] = [];
    const over = new Promise<void>((resolve) => {
      database.onTrouble = (error) => {
        troubles.push(error?.code);
        if (error === undefined) resolve();
      };
    });
    const entry: RunEntry = { run: 'r', name: 'n', model: 'mlp', status: 'running', reason: '', folder: '/f', server: 's', createdAtMs: 1, endedAtMs: undefined, version: 1, samples: 5 };
    database.runs.put(entry);
    expect(await database.runs.find('r')).toEqual(entry);
    await postgres.kill();
    database.runs.put({ ...entry, version: 2 });
    database.runs.put({ ...entry, version: 3, status: 'succeeded', endedAtMs: 9 });
    await expect(database.runs.find('r')).rejects.toMatchObject({ code: 'unreachable', hint: expect.stringContaining('LONGTAIL_DATABASE') });
    await postgres.start();
    await over;
    expect(troubles).toEqual(['unreachable', undefined]);
    expect(await database.runs.find('r')).toEqual({ ...entry, version: 3, status: 'succeeded', endedAtMs: 9 });
    await expect(openDatabase(location)).rejects.toMatchObject({ message: expect.stringContaining('Another server') });
  });

  it('says what is wrong, and never the password', async () => {
    const url = new URL(await postgres.database());
    const other = (change: Partial<URL>): string => Object.assign(new URL(url.href), change).href;
    for (const [location, code, hint] of [
      [other({ password: 'guessed-it' }), 'refused', /PGPASSWORD/],
      [other({ pathname: '/nowhere' }), 'unreachable', /createdb/],
      [other({ port: '9' }), 'unreachable', /--database/],
    ] as const) {
      const error: unknown = await openDatabase(location).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code, hint: expect.stringMatching(hint), where: expect.stringContaining('postgres@127.0.0.1') });
      const { message, hint: said, where, stack } = error as Error & { hint: string; where: string };
      expect([message, said, where, stack].join(' ')).not.toMatch(new RegExp(`${url.password}|guessed-it`));
    }
    await expect(openDatabase('mysql://a/b')).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('mysql') });
  });
});

describe('SQLite', () => {
  it('is readable by its owner alone, and by others of theirs while a server has it', async () => {
    const path = await KINDS.SQLite.location();
    const database = await open(path);
    database.nodes.seen({ node: 'n', name: 'ada', engine: 'wasm', device: 'cpu' }, 1);
    await database.nodes.list();
    for (const file of [path, `${path}-wal`]) expect(statSync(file).mode & 0o777).toBe(0o600);
    const { DatabaseSync } = await import('@photostructure/sqlite');
    const reader = new DatabaseSync(path, { readOnly: true });
    expect(reader.prepare('select name from nodes').all()).toEqual([expect.objectContaining({ name: 'ada' })]);
    reader.close();
  });

  it('says what is wrong with a file that is none, or is damaged', async () => {
    const path = join(folder, 'text.db');
    writeFileSync(path, 'these are no rows at all, and there are many of them'.repeat(100));
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'storage', where: path, message: expect.stringContaining('no database of Longtail') });
    await expect(openDatabase(join(path, 'below.db'))).rejects.toMatchObject({ code: 'storage' });
  });

  it('in memory is there for as long as it is open', async () => {
    const database = await open(IN_MEMORY);
    database.nodes.seen({ node: 'n', name: 'ada', engine: 'wasm', device: 'cpu' }, 1);
    expect(await database.nodes.list()).toHaveLength(1);
    expect(await (await open(IN_MEMORY)).nodes.list()).toEqual([]);
  });
});
