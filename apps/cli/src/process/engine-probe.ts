import type { EngineName } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { loadEngine, measureGflops } from '@longtail/engine';
import type { ChildMessage } from './children.js';

/** A process that loads one engine, measures it and ends: a driver that takes its process down takes only this one. */
export type ProbeMessage = ChildMessage &
  ({ readonly type: 'measured'; readonly description: string; readonly gflops: number } | { readonly type: 'ended' });

const tell = (message: ProbeMessage): Promise<void> =>
  new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));

try {
  const engine = await loadEngine(process.argv[2] as EngineName);
  await tell({ type: 'measured', description: engine.info.description, gflops: await measureGflops(engine) });
} catch (error) {
  await tell({ type: 'ended', error: LongtailError.from(error, 'engine').toWire() });
}
process.exit(0);
