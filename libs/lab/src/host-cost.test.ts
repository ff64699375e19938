import type { BenchArm } from '@longtail/core';
import { beforeAll, expect, test } from 'vitest';
import { hostCostOf, hostCostTask } from './host-cost.js';
import { runArm, type ArmTask } from './run-arm.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

const workbench = new Workbench('cpu');
const roundMs = ({ outcome }: BenchArm): number => {
  if (outcome.status !== 'done') throw new Error(outcome.reason);
  return outcome.summary.wallMs / outcome.summary.rounds;
};

const churny = '{machines: [{name: phone, gpu: Iris Xe, count: 3, link: {class: lte, loss: 0.1}, site: flat, jitter: 0.2, churn: {type: exponential, here: 3s, away: 1s}, joins: 5min}]}';
const task = { ...hostCostTask(scenario('[{strategy: diloco, sync.localSteps: 3}]', { fleet: churny, rest: 'targetLoss: 0.5\n', epochs: 1000 })), mode: 'virtual' } as const satisfies ArmTask;
let predicted: BenchArm;
beforeAll(async () => {
  predicted = await runArm(task, workbench);
});

test('what is measured are plain rounds of two devices of which the scenario knows nothing, whatever its fleet is like', () => {
  // Half a batch of 40 at 120 samples/s, and 15 ms of round trip.
  expect(roundMs(predicted)).toBeGreaterThan(1000 / 6 + 15);
  expect(roundMs(predicted)).toBeLessThan(1000 / 6 + 20);
});

test('what a task takes the host is by which a round took longer than predicted; a prediction with it is as long', async () => {
  const slower = await runArm({ ...task, taskMs: 12 }, workbench);
  expect(hostCostOf(slower, predicted)).toBeCloseTo(12, 1);
  expect(hostCostOf(predicted, slower)).toBe(0);
  expect(hostCostOf({ ...predicted, outcome: { status: 'failed', reason: 'no' } }, predicted)).toBeUndefined();
});
