import { LongtailError, type EngineName } from '@longtail/core';
import type { PoolReply, PoolRequest } from './arm-pool.js';
import { measureDevice } from './measure-device.js';
import { runArm } from './run-arm.js';
import { Workbench } from './workbench.js';

/** A process of `ArmPool`: it lives as long as the channel to its parent, whose the signals of the terminal are. */
const workbench = new Workbench(process.argv[2] as EngineName);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());
process.on('message', (request: PoolRequest) => void answer(request));

async function answer(request: PoolRequest): Promise<void> {
  process.send!(await replyTo(request));
}

async function replyTo(request: PoolRequest): Promise<PoolReply> {
  try {
    return { kind: 'done', value: 'arm' in request ? await runArm(request.arm, workbench) : await measureDevice(await workbench.open(request.measure), workbench, () => performance.now()) };
  } catch (error) {
    return { kind: 'failed', error: LongtailError.from(error).toWire() };
  }
}
