import type { ParameterLayout, ParameterSlot } from '@longtail/core';
import { gridOf, type Grid } from './grid.js';

/**
 * A part of the model's flat vector that travels as one tensor: a run of parameters that the same workers hold, one
 * behind the other in each one's vector. With solo workers alone there is one segment, the whole vector.
 */
export interface Segment {
  readonly index: number;
  /** Values of the whole vector before it. */
  readonly offset: number;
  /** Name of its first parameter; empty for a part of the whole vector that begins anywhere. */
  readonly first: string;
  readonly grid: Grid;
}

/** A segment in a worker's vector. */
export interface HeldSegment {
  readonly segment: Segment;
  /** Values of the worker's vector before it. */
  readonly start: number;
}

/** Cuts the whole vector where the vectors of the groups' workers begin and end, and where what is tied over a border does. */
export function segmentsOf(
  whole: ParameterLayout,
  groups: readonly (readonly ParameterLayout[])[],
  chunkLength: number,
): readonly Segment[] {
  // A worker that is alone in its group has every parameter in the order of the whole vector: it cuts nowhere.
  const holders = groups.filter((workers) => workers.length > 1).flatMap((workers) => workers.map(offsetsOf));
  const joined = (before: ParameterSlot, slot: ParameterSlot) =>
    holders.every((offsets) => {
      const [from, to] = [offsets.get(before.name), offsets.get(slot.name)];
      return from === undefined ? to === undefined : to === from + before.length;
    });
  const runs: ParameterSlot[][] = [];
  for (const slot of whole.slots.filter(({ length }) => length > 0)) {
    const run = runs.at(-1);
    if (run !== undefined && joined(run.at(-1)!, slot)) run.push(slot);
    else runs.push([slot]);
  }
  return runs.map((run, index) => {
    const [first, last] = [run[0]!, run.at(-1)!];
    const length = last.offset + last.length - first.offset;
    return { index, offset: first.offset, first: first.name, grid: gridOf(length, chunkLength) };
  });
}

/** Blocks of codecs are counted from where a segment begins. */
const ALIGNMENT = 4096;

/** `count` parts of about the same length, fewer where there are not as many values. Who holds them holds the whole vector. */
export function cutEvenly(length: number, count: number, chunkLength: number): readonly Segment[] {
  const alignment = length >= count * ALIGNMENT ? ALIGNMENT : 1;
  const each = alignment * Math.ceil(length / count / alignment);
  return Array.from({ length: Math.ceil(length / each) }, (_, index) => {
    const offset = index * each;
    return { index, offset, first: '', grid: gridOf(Math.min(each, length - offset), chunkLength) };
  });
}

/** The segments that a worker's vector consists of, in the order of the whole vector. */
export function heldBy(worker: ParameterLayout, segments: readonly Segment[]): readonly HeldSegment[] {
  const offsets = offsetsOf(worker);
  return segments.flatMap((segment) => {
    const start = offsets.get(segment.first);
    return start === undefined ? [] : [{ segment, start }];
  });
}

function offsetsOf({ slots }: ParameterLayout): ReadonlyMap<string, number> {
  return new Map(slots.map(({ name, offset }) => [name, offset]));
}
