import type { SampleRange } from '@longtail/core';

/** Cuts a task's samples into microbatches of `size`, the last of which may be smaller: the same on every stage. */
export function microbatchesOf(ranges: readonly SampleRange[], size: number): readonly (readonly SampleRange[])[] {
  const microbatches: SampleRange[][] = [];
  let room = 0;
  for (const { epoch, start, end } of ranges) {
    for (let from = start; from < end;) {
      if (room === 0) {
        microbatches.push([]);
        room = size;
      }
      const to = Math.min(end, from + room);
      microbatches.at(-1)!.push({ epoch, start: from, end: to });
      room -= to - from;
      from = to;
    }
  }
  return microbatches;
}

export function countSamples(ranges: readonly { readonly start: number; readonly end: number }[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}
