import { parentPort, workerData } from 'node:worker_threads';
import { LongtailError, type EngineName } from '@longtail/core';
import type { ArmReply } from './arm-pool.js';
import { runArm, type ArmTask } from './run-arm.js';
import { Workbench } from './workbench.js';

const workbench = new Workbench(workerData as EngineName);

parentPort!.on('message', (task: ArmTask) => void runAndReply(task));

async function runAndReply(task: ArmTask): Promise<void> {
  parentPort!.postMessage(await replyTo(task));
}

async function replyTo(task: ArmTask): Promise<ArmReply> {
  try {
    return { kind: 'done', arm: await runArm(task, workbench) };
  } catch (error) {
    return { kind: 'failed', error: LongtailError.from(error).toWire() };
  }
}
