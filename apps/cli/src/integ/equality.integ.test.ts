import { openSafetensors } from '@longtail/store';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fleet } from './fleet.js';
import { smallJob } from './jobs.js';

let fleet: Fleet;
let one: Trained;
beforeAll(async () => {
  fleet = await Fleet.stand([1, 0.6, 0.4, 0.25]);
  one = await train(JOB, '{ layout: [[{ worker: worker-1 }]] }');
});
afterAll(() => fleet?.down());

interface Trained {
  readonly tensors: ReadonlyMap<string, Float32Array>;
  readonly contributors: number;
}

/** Whoever is slow on a busy machine is waited for: all are to contribute. */
const job = (hidden: string) => `${smallJob({ rounds: 8, hidden })}sync: { minDeadline: 60s }\n`;
const JOB = job('32');

it('makes the same steps with four unequal workers as with one big one', async () => {
  expectSameSteps(await train(JOB, '{ minWorkers: 4 }'), one, 4);
});

it.each(['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble'])('makes the same steps with a pipeline (%s) beside a solo worker as with one that holds the whole model', async (schedule) => {
  const layout = '[[{ worker: worker-1, blocks: 1 }, { worker: worker-2, blocks: 1 }], [{ worker: worker-3 }]]';
  expectSameSteps(await train(JOB, `{ layout: ${layout}, schedule: ${schedule}, microbatch: 12 }`), one, 3);
});

it('makes the same steps with replicas of a stage as with one machine', async () => {
  const layout = '[[{ worker: worker-1, blocks: 1 }, { workers: [worker-2, worker-3], blocks: 1 }]]';
  expectSameSteps(await train(JOB, `{ layout: ${layout}, microbatch: 6 }`), one, 3);
});

it('makes the same steps with an interleaved pipeline as with one machine', async () => {
  const deep = job('32, 24, 16');
  const layout = `[[${['worker-1', 'worker-2', 'worker-1', 'worker-2'].map((worker) => `{ worker: ${worker}, blocks: 1 }`).join(', ')}]]`;
  const piped = await train(deep, `{ layout: ${layout}, schedule: interleaved, microbatch: 12 }`);
  expectSameSteps(piped, await train(deep, '{ layout: [[{ worker: worker-1 }]] }'), 2);
});

function expectSameSteps(several: Trained, single: Trained, contributors: number): void {
  expect([several.contributors, single.contributors]).toEqual([contributors, 1]);
  for (const [name, values] of single.tensors) {
    expect(relativeDistance(several.tensors.get(name)!, values), name).toBeLessThan(1e-5);
  }
}

async function train(job: string, cluster: string): Promise<Trained> {
  const { events, verdict } = await fleet.launch(`${job}cluster: ${cluster}\n`);
  const nodes = events.flatMap((event) => (event.event === 'contribution' && event.accepted && event.samples > 0 ? [event.node] : []));
  return { tensors: await readTensors(verdict.model), contributors: new Set(nodes).size };
}

async function readTensors(path: string): Promise<ReadonlyMap<string, Float32Array>> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, Float32Array>();
    for (const [name, { shape }] of file.tensors) {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      await file.readFloat32(name, values);
      tensors.set(name, values);
    }
    return tensors;
  } finally {
    await file.close();
  }
}

/** ‖a − b‖ / ‖b‖ */
function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}
