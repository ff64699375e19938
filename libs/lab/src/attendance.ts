import type { StoredEvent } from '@longtail/core';
import type { Stretch } from './compute-log.js';

/** When each node was connected and not at rest, between two moments; by name. */
export function attendance(events: readonly StoredEvent[], fromMs: number, toMs: number): ReadonlyMap<string, readonly Stretch[]> {
  const since = new Map<string, number>();
  const here = new Map<string, Stretch[]>();
  const end = (name: string, atMs: number) => {
    const began = since.get(name);
    since.delete(name);
    const stretch = { fromMs: Math.max(fromMs, began ?? Infinity), toMs: Math.min(toMs, atMs) };
    if (stretch.toMs > stretch.fromMs) here.set(name, [...(here.get(name) ?? []), stretch]);
  };
  for (const { timeMs, body } of events) {
    if (body.event === 'node_joined' || body.event === 'node_resumed') since.set(body.name, timeMs);
    if (body.event === 'node_left' || body.event === 'node_paused') end(body.name, timeMs);
  }
  for (const name of [...since.keys()]) end(name, toMs);
  return here;
}
