import type { AccessEntries, AccessTable, IdentityEntry, TokenEntry } from '@longtail/core';
import type { Connection, Row } from './connection.js';
import { upsert } from './upsert.js';

/** Tokens and identities in the database. */
export function accessTable(connection: Connection): AccessTable {
  const rows = ({ tokens = [], identities = [] }: Partial<AccessEntries>) => [
    ...tokens.map((token) => upsert('tokens', tokenRow(token))),
    ...identities.map((identity) => upsert('identities', identityRow(identity))),
  ];
  return {
    async load(): Promise<AccessEntries> {
      const tokens = await connection.select({ text: 'select * from tokens order by created_ms, id' });
      const identities = await connection.select({ text: 'select * from identities order by enrolled_ms, id' });
      return { tokens: tokens.map(asToken), identities: identities.map(asIdentity) };
    },
    save: (entries) => connection.write(rows(entries)),
    replace: (entries) => connection.write([...['tokens', 'identities'].map((table) => ({ text: `delete from ${table}` })), ...rows(entries)]),
    forget: (expiredBeforeMs) =>
      connection.write(['tokens', 'identities'].map((table) => ({ text: `delete from ${table} where expires_ms < ?`, values: [Math.round(expiredBeforeMs)] }))),
  };
}

function tokenRow({ id, secret, role, createdAtMs, expiresAtMs, usesLeft, revoked }: TokenEntry): Row {
  return { id, secret, role, created_ms: Math.round(createdAtMs), expires_ms: Math.round(expiresAtMs), uses_left: usesLeft, revoked: Number(revoked) };
}

function asToken({ id, secret, role, created_ms: createdAtMs, expires_ms: expiresAtMs, uses_left: usesLeft, revoked }: Row): TokenEntry {
  return { id, secret, role, createdAtMs, expiresAtMs, usesLeft, revoked: revoked !== 0 } as TokenEntry;
}

function identityRow({ id, role, name, token, enrolledAtMs, expiresAtMs, revoked }: IdentityEntry): Row {
  return { id, role, name, token, enrolled_ms: Math.round(enrolledAtMs), expires_ms: Math.round(expiresAtMs), revoked: Number(revoked) };
}

function asIdentity({ id, role, name, token, enrolled_ms: enrolledAtMs, expires_ms: expiresAtMs, revoked }: Row): IdentityEntry {
  return { id, role, name, token, enrolledAtMs, expiresAtMs, revoked: revoked !== 0 } as IdentityEntry;
}
