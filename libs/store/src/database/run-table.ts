import type { Connection, Row, Value } from './connection.js';
import { upsert } from './upsert.js';
import type { WriteBehind } from './write-behind.js';

export type RunStatus = 'running' | 'interrupted' | 'succeeded' | 'failed' | 'cancelled';

/** A run as the database knows it. */
export interface RunEntry {
  readonly run: string;
  readonly name: string;
  /** Its type: gpt, mlp, … */
  readonly model: string;
  readonly status: RunStatus;
  /** Of its end; empty before. */
  readonly reason: string;
  readonly folder: string;
  /** What the server that had it last was told to listen on. */
  readonly server: string;
  readonly createdAtMs: number;
  readonly endedAtMs: number | undefined;
  /** The last durable one; 0: none yet. */
  readonly version: number;
  /** Applied to the parameters, as far as they were told. */
  readonly samples: number;
}

export interface RunQuery {
  readonly limit: number;
  /** @default any */
  readonly status?: RunStatus;
}

/** The runs that a server knows of. LongtailError `storage`, `unreachable` where the database fails. */
export class RunTable {
  constructor(
    private readonly connection: Connection,
    private readonly later: WriteBehind,
  ) {}

  /** Takes the place of what was known of the run, in time; nothing of a run depends on it. */
  put(entry: RunEntry): void {
    this.later.put(`run ${entry.run}`, upsert('runs', asRow(entry)));
  }

  /** Newest first. */
  async list({ limit, status }: RunQuery): Promise<readonly RunEntry[]> {
    const where = status === undefined ? '' : 'where status = ?';
    return this.select(`${where} order by created_ms desc, run limit ?`, [...(status === undefined ? [] : [status]), limit]);
  }

  async find(run: string): Promise<RunEntry | undefined> {
    return (await this.select('where run = ?', [run]))[0];
  }

  /** Those without an end, oldest first. */
  async unfinished(): Promise<readonly RunEntry[]> {
    return this.select('where ended_ms is null order by created_ms, run', []);
  }

  /** Of all. */
  async folders(): Promise<ReadonlySet<string>> {
    await this.later.tried();
    const rows = await this.connection.select({ text: 'select folder from runs' });
    return new Set(rows.map(({ folder }) => folder as string));
  }

  private async select(rest: string, values: readonly Value[]): Promise<readonly RunEntry[]> {
    await this.later.tried();
    return (await this.connection.select({ text: `select * from runs ${rest}`, values })).map(asEntry);
  }
}

function asRow({ run, name, model, status, reason, folder, server, createdAtMs, endedAtMs, version, samples }: RunEntry): Row {
  return { run, name, model, status, reason, folder, server, created_ms: Math.round(createdAtMs), ended_ms: endedAtMs === undefined ? null : Math.round(endedAtMs), version, samples };
}

function asEntry(row: Row): RunEntry {
  const { run, name, model, status, reason, folder, server, created_ms: createdAtMs, ended_ms, version, samples } = row;
  return { run, name, model, status, reason, folder, server, createdAtMs, endedAtMs: ended_ms ?? undefined, version, samples } as RunEntry;
}
