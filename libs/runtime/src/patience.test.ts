import { expect, test } from 'vitest';
import { SILENCE_MS, type GroupTask } from './group-task.js';
import { silentAmong } from './patience.js';

/** An evaluation of 1000 samples, at which a group that measured so many a second got its parameters at 0. */
function evaluation(samplesPerSecond: number, state: Partial<GroupTask> = {}): GroupTask {
  const group = { members: [{ settledAtMs: 0 }], measuredSamplesPerSecond: samplesPerSecond };
  return { group, task: { start: 0, end: 1000 }, samples: 0, status: 'out', activeAtMs: 0, computed: false, ...state } as unknown as GroupTask;
}

test('who is given time by what it measured, and falls silent, is not waited for', () => {
  const [quick, slow] = [evaluation(1000), evaluation(1)];
  expect(silentAmong([quick, slow], SILENCE_MS - 1)).toEqual({ silent: [], nextMs: SILENCE_MS });
  expect(silentAmong([quick, slow], SILENCE_MS).silent.map(({ task }) => task)).toEqual([quick]);
  expect(silentAmong([slow], 20 * 1_000_000).silent.map(({ task }) => task)).toEqual([slow]);
});

test('who has delivered is not silent, whatever the clock says', () => {
  const delivered = evaluation(1000, { status: 'delivered', computed: true });
  expect(silentAmong([delivered], 3_600_000).silent).toEqual([]);
});
