import { LongtailError, type EngineName } from '@longtail/core';
import type { PoolReply, PoolRequest, Processors } from './arm-pool.js';
import { measureDevice } from './measure-device.js';
import { runArm, type TellPart } from './run-arm.js';
import { Workbench } from './workbench.js';

/** A process of `ArmPool`: it lives as long as the channel to its parent, whose the signals of the terminal are. */
const workbench = new Workbench(process.argv[2] as EngineName);

/** So often at most it is told how far an arm is. */
const TELL_EVERY_MS = 500;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());
process.on('message', (request: PoolRequest | Processors) => {
  if ('processors' in request) workbench.threads.use(request.processors);
  else void answer(request);
});

async function answer(request: PoolRequest): Promise<void> {
  process.send!(await replyTo(request));
}

async function replyTo(request: PoolRequest): Promise<PoolReply> {
  try {
    return { kind: 'done', value: await valueOf(request) };
  } catch (error) {
    return { kind: 'failed', error: LongtailError.from(error).toWire() };
  }
}

async function valueOf(request: PoolRequest): Promise<unknown> {
  if ('arm' in request) return runArm(request.arm, workbench, tellSparingly());
  if ('gflops' in request) return workbench.gflops();
  return measureDevice(await workbench.open(request.measure), workbench, () => performance.now());
}

function tellSparingly(): TellPart {
  let toldMs = performance.now();
  return (part) => {
    if (performance.now() < toldMs + TELL_EVERY_MS) return;
    toldMs = performance.now();
    process.send!({ kind: 'part', part } satisfies PoolReply);
  };
}
