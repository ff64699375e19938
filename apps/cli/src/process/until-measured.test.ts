import { LongtailError } from '@longtail/core';
import { afterEach, expect, it, vi } from 'vitest';
import type { NodeRow } from '@longtail/protocol';
import { untilMeasured } from './until-measured.js';

const UNMEASURED = { link: { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 } } as NodeRow;
const MEASURED = { link: { upBitsPerSecond: 1e7, downBitsPerSecond: 1e8, roundTripMs: 20 } } as NodeRow;

afterEach(() => void vi.useRealTimers());

it('an arm begins once the links of all of its workers are measured, and those who have only joined are waited for', async () => {
  const answers = [[MEASURED], [MEASURED, UNMEASURED], [MEASURED, MEASURED], []];
  const listNodes = () => Promise.resolve({ nodes: answers.shift()!, peers: [], gone: [] });
  await untilMeasured({ listNodes }, 2, new AbortController().signal);
  expect(answers).toEqual([[]]);
});

it('who cannot be measured is waited for fifteen seconds longer than the last who was', async () => {
  vi.useFakeTimers();
  const beganMs = performance.now();
  const lookedMs = () => performance.now() - beganMs;
  const listNodes = () => Promise.resolve({ nodes: [10_000, 20_000, Infinity].map((atMs) => (lookedMs() < atMs ? UNMEASURED : MEASURED)), peers: [], gone: [] });
  const begun = untilMeasured({ listNodes }, 3, new AbortController().signal).then(lookedMs);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(Math.round((await begun) / 1000)).toBe(35);
});

it('ends with the reason of its signal, as whatever else a command was at', async () => {
  const interruption = new AbortController();
  const listNodes = () => Promise.resolve({ nodes: [UNMEASURED], peers: [], gone: [] });
  const begun = untilMeasured({ listNodes }, 1, interruption.signal);
  interruption.abort(new LongtailError('interrupted', { code: 'cancelled' }));
  await expect(begun).rejects.toMatchObject({ code: 'cancelled' });
});
