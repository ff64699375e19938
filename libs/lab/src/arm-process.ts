import { LongtailError, type EngineName } from '@longtail/core';
import type { ArmReply } from './arm-pool.js';
import { runArm, type ArmTask } from './run-arm.js';
import { Workbench } from './workbench.js';

/** A process of `ArmPool`: it lives as long as the channel to its parent, whose the signals of the terminal are. */
const workbench = new Workbench(process.argv[2] as EngineName);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());
process.on('message', (task: ArmTask) => void runAndReply(task));

async function runAndReply(task: ArmTask): Promise<void> {
  process.send!(await replyTo(task));
}

async function replyTo(task: ArmTask): Promise<ArmReply> {
  try {
    return { kind: 'done', arm: await runArm(task, workbench) };
  } catch (error) {
    return { kind: 'failed', error: LongtailError.from(error).toWire() };
  }
}
