import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchArm } from '@longtail/core';
import { beforeAll, expect, test } from 'vitest';
import { hostCostOf, hostCostTask, measureHostCost } from './host-cost.js';
import { KeptArms } from './kept-arms.js';
import { runArm, type ArmTask } from './run-arm.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

const workbench = new Workbench('cpu');
const roundMs = ({ outcome }: BenchArm): number => {
  if (outcome.status !== 'done') throw new Error(outcome.reason);
  return outcome.summary.wallMs / outcome.summary.rounds;
};

const churny = '{machines: [{name: phone, gpu: Iris Xe, count: 3, link: {class: lte, loss: 0.1}, site: flat, jitter: 0.2, churn: {type: exponential, here: 3s, away: 1s}, joins: 5min}]}';
const measured = scenario('[{strategy: diloco, sync.localSteps: 3}]', { fleet: churny, rest: 'targetLoss: 0.5\nstandsFor: {parameters: 25e6}\n', epochs: 1000 });
const task = { ...hostCostTask(measured), mode: 'virtual' } as const satisfies ArmTask;
let predicted: BenchArm;
beforeAll(async () => {
  predicted = await runArm(task, workbench);
});

test('what is measured are plain rounds of two devices of which the scenario knows nothing, whatever its fleet is like and its model stands for', () => {
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

test('a bench that goes on does not measure it again, one that starts afresh does', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'longtail-host-cost-'));
  const modes: string[] = [];
  const run = async (asked: ArmTask) => {
    modes.push(asked.mode);
    return runArm({ ...asked, mode: 'virtual', ...(asked.mode === 'live' && { taskMs: 12 }) }, workbench);
  };
  const measure = (fresh: boolean) => measureHostCost(measured, { engine: 'cpu', kept: new KeptArms(folder, 'program', fresh), live: run, virtual: run });
  for (const fresh of [false, false, true]) expect(await measure(fresh)).toBeCloseTo(12, 1);
  expect(modes).toEqual(['live', 'virtual', 'virtual', 'live', 'virtual']);
  await rm(folder, { recursive: true });
});
