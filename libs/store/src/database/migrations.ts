import { LongtailError } from '@longtail/core';
import type { Connection } from './connection.js';

/** Each brings the schema from the one before it to its own; what stands here was released and is never changed. */
export const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `create table runs (
      run text primary key,
      name text not null,
      model text not null,
      status text not null,
      reason text not null,
      folder text not null,
      server text not null,
      created_ms bigint not null,
      ended_ms bigint,
      version bigint not null,
      samples bigint not null
    )`,
    'create index runs_by_age on runs (created_ms)',
    `create table nodes (
      node text primary key,
      name text not null,
      engine text not null,
      device text not null,
      first_seen_ms bigint not null,
      last_seen_ms bigint not null
    )`,
    `create table tokens (
      id text primary key,
      secret text not null,
      role text not null,
      created_ms bigint not null,
      expires_ms bigint not null,
      uses_left bigint not null,
      revoked bigint not null
    )`,
    `create table identities (
      id text primary key,
      role text not null,
      name text not null,
      token text not null,
      enrolled_ms bigint not null,
      expires_ms bigint not null,
      revoked bigint not null
    )`,
  ],
];

/** Brings a database to the schema of this program, each step whole or not at all. LongtailError `storage` where it is ahead. */
export async function migrate(connection: Connection, migrations = MIGRATIONS): Promise<void> {
  await connection.write([{ text: 'create table if not exists longtail_schema (version bigint primary key)' }]);
  const [row] = await connection.select({ text: 'select coalesce(max(version), 0) as version from longtail_schema' });
  const version = row!.version as number;
  if (version > migrations.length) {
    throw new LongtailError(`The database has schema ${version}; this version of Longtail knows ${migrations.length}.`, {
      code: 'storage',
      where: connection.name,
      hint: 'Use the version of Longtail that used it last, or a newer one.',
    });
  }
  for (const [index, statements] of migrations.entries()) {
    if (index < version) continue;
    const done = { text: 'insert into longtail_schema (version) values (?)', values: [index + 1] };
    await connection.write([...statements.map((text) => ({ text })), done]);
  }
}
