import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeepWarm } from './keep-warm.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watched(): { readonly warm: KeepWarm; readonly beats: number[]; readonly opened: { atMs: number; usedBytes: number }[] } {
  const startMs = Date.now();
  const beats: number[] = [];
  const opened: { atMs: number; usedBytes: number }[] = [];
  const warm = new KeepWarm(
    () => Date.now(),
    () => beats.push(Date.now() - startMs),
    (usedBytes) => opened.push({ atMs: Date.now() - startMs, usedBytes }),
  );
  return { warm, beats, opened };
}

it('beats through a short pause, then leaves the link alone until it is used again', () => {
  const { warm, beats, opened } = watched();
  vi.advanceTimersByTime(1_000);
  expect(beats).toEqual([]);
  warm.used(1);
  vi.advanceTimersByTime(1_000);
  expect(beats).toHaveLength(10);
  vi.advanceTimersByTime(60_000);
  expect(beats).toHaveLength(10);
  expect(vi.getTimerCount()).toBe(0);
  warm.used(1);
  vi.advanceTimersByTime(500);
  expect(beats).toHaveLength(15);
  warm.stop();
  vi.advanceTimersByTime(1_000);
  expect(beats).toHaveLength(15);
  expect(opened).toEqual([]);
});

it('opens the window before a pause ends that is as long as the last one, and gives up when it is longer', () => {
  const { warm, opened } = watched();
  for (const bytes of [1_000, 500, 300]) {
    warm.used(bytes);
    vi.advanceTimersByTime(200);
    warm.used(bytes);
    vi.advanceTimersByTime(9_800);
  }
  expect(opened.map(({ usedBytes }) => usedBytes)).toEqual([...Array<number>(5).fill(1_000), ...Array<number>(5).fill(600)]);
  expect(opened.map(({ atMs }) => atMs)).toEqual([0, 10_000].flatMap((after) => [19_000, 19_200, 19_400, 19_600, 19_800].map((atMs) => atMs + after)));
  vi.advanceTimersByTime(60_000);
  expect(opened).toHaveLength(10);
  expect(vi.getTimerCount()).toBe(0);
});

it('opens no window after a pause of minutes', () => {
  const { warm, opened } = watched();
  for (let round = 0; round < 3; round++) {
    warm.used(1);
    vi.advanceTimersByTime(300_000);
  }
  expect(opened).toEqual([]);
});
