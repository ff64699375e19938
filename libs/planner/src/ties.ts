import type { BlockProfile, BlockRange } from '@longtail/core';

/** Parameters that the same blocks read. */
interface Table {
  readonly names: readonly string[];
  readonly values: number;
  readonly blocks: readonly number[];
}

/** Blocks on devices. */
type Held = BlockRange & { readonly devices: readonly number[] };

interface HeldTable {
  readonly values: number;
  /** Devices. */
  readonly holders: readonly number[];
}

/** What blocks of a model share: the stages that have these send each other their gradients of it at each inner step that they take themselves (ADR 26). */
export class Ties {
  private readonly tables: readonly Table[];

  constructor(blocks: readonly BlockProfile[]) {
    const readers = new Map<string, { values: number; blocks: number[] }>();
    for (const [block, { tied }] of blocks.entries()) {
      for (const { name, parameters } of tied) {
        const known = readers.get(name);
        if (known === undefined) readers.set(name, { values: parameters, blocks: [block] });
        else known.blocks.push(block);
      }
    }
    const alike = new Map<string, Table>();
    for (const [name, { values, blocks }] of readers) {
      const table = alike.get(blocks.join()) ?? { names: [], values: 0, blocks };
      if (blocks.length > 1) alike.set(blocks.join(), { names: [...table.names, name], values: table.values + values, blocks });
    }
    this.tables = [...alike.values()];
  }

  get none(): boolean {
    return this.tables.length === 0;
  }

  /** Whether blocks [start, end) read anything that others may read too. */
  isRead(start: number, end: number): boolean {
    const range = { start, end };
    for (const table of this.tables) if (readsAny(table, range)) return true;
    return false;
  }

  /** Values that both ranges read. */
  values(one: BlockRange, other: BlockRange): number {
    let values = 0;
    for (const table of this.tables) if (readsAny(table, one) && readsAny(table, other)) values += table.values;
    return values;
  }

  names(one: BlockRange, other: BlockRange): readonly string[] {
    return this.tables.filter((table) => readsAny(table, one) && readsAny(table, other)).flatMap(({ names }) => names);
  }

  /** Of the tables that a stage reads and devices of others too: values, and which devices hold them. */
  readBeside(stage: Held, stages: readonly Held[]): readonly HeldTable[] {
    return this.tables
      .filter((table) => readsAny(table, stage))
      .map((table) => heldTable(table, stages))
      .filter(({ holders }) => holders.length > stage.devices.length);
  }

  /** All tables that these stages read. */
  readBy(stages: readonly Held[]): readonly HeldTable[] {
    return this.tables.map((table) => heldTable(table, stages)).filter(({ holders }) => holders.length > 0);
  }

  /** Which tables a stage shares with blocks before `at`; as text, to compare. */
  openBefore(at: number, stage: BlockRange): string {
    let open = '';
    for (const [index, table] of this.tables.entries()) if (table.blocks[0]! < at && readsAny(table, stage)) open += `${index}.`;
    return open;
  }
}

function heldTable(table: Table, stages: readonly Held[]): HeldTable {
  return { values: table.values, holders: [...new Set(stages.filter((stage) => readsAny(table, stage)).flatMap(({ devices }) => devices))] };
}

function readsAny({ blocks }: Table, { start, end }: BlockRange): boolean {
  for (const block of blocks) if (start <= block && block < end) return true;
  return false;
}
