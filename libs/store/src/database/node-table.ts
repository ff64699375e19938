import type { Connection, Row } from './connection.js';
import { upsert } from './upsert.js';
import type { WriteBehind } from './write-behind.js';

/** A node that joined once. */
export interface NodeEntry {
  /** The id that it keeps. */
  readonly node: string;
  readonly name: string;
  readonly engine: string;
  readonly device: string;
  readonly firstSeenAtMs: number;
  readonly lastSeenAtMs: number;
}

/** The nodes that ever joined a server. LongtailError `storage`, `unreachable` where the database fails. */
export class NodeTable {
  constructor(
    private readonly connection: Connection,
    private readonly later: WriteBehind,
  ) {}

  /** It is here now; the first time stays as it was. */
  seen({ node, name, engine, device }: Omit<NodeEntry, 'firstSeenAtMs' | 'lastSeenAtMs'>, nowMs: number): void {
    const now = Math.round(nowMs);
    const row = { node, name, engine, device, first_seen_ms: now, last_seen_ms: now };
    this.later.put(`node ${node}`, upsert('nodes', row, 'first_seen_ms'));
  }

  /** Who was here last comes first. */
  async list(): Promise<readonly NodeEntry[]> {
    await this.later.tried();
    const rows = await this.connection.select({ text: 'select * from nodes order by last_seen_ms desc, node' });
    return rows.map(({ node, name, engine, device, first_seen_ms: firstSeenAtMs, last_seen_ms: lastSeenAtMs }: Row) => ({ node, name, engine, device, firstSeenAtMs, lastSeenAtMs }) as NodeEntry);
  }
}
