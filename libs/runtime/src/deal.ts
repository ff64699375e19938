import type { Action } from '@longtail/core';

export interface Replica {
  /** In any unit, the same for all. */
  readonly speed: number;
  /** Most microbatches that it holds between forward and backward. */
  readonly room: number;
}

/**
 * Deals the microbatches of a stage's passes to its replicas: each goes to the one with room that would be done with it first,
 * were it at nothing else (D'Hondt), so that shares are in proportion to the speeds. Returns the replica of each microbatch.
 * Expects that the passes never hold more microbatches than the replicas have room for between them.
 */
export function deal(passes: readonly Action[], replicas: readonly Replica[]): readonly number[] {
  const dealt = replicas.map(() => 0);
  const held = replicas.map(() => 0);
  const takers: number[] = [];
  for (const { op, microbatch } of passes) {
    if (op === 'F') {
      const doneAt = replicas.map(({ speed, room }, i) => (held[i]! < room ? (dealt[i]! + 1) / speed : Infinity));
      const taker = doneAt.indexOf(Math.min(...doneAt));
      takers[microbatch] = taker;
      dealt[taker]!++;
      held[taker]!++;
    } else if (op !== 'I') {
      held[takers[microbatch]!]!--;
    }
  }
  return takers;
}
