import { createRng, type Codec, type Rng } from '@longtail/core';
import type { Place, SharedPart, Task } from '@longtail/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Peers } from './peers.js';
import { StageInbox } from './stage-inbox.js';
import type { StageOutput } from './stage-outbox.js';

const decode = (bytes: Uint8Array, out: Float32Array) => out.set(new Float32Array(bytes.slice().buffer));
const fp32 = { id: 0, name: 'fp32', decode } as unknown as Codec;

/** A run of values with the same holders, where it lies in the vector of each of them. */
interface Held {
  readonly length: number;
  readonly holders: readonly number[];
}

/** Each worker's parts, one behind the other. */
function partsOf(runs: readonly Held[], worker: number): readonly SharedPart[] {
  let start = 0;
  return runs.flatMap(({ length, holders }) => (holders.includes(worker) ? [{ start: (start += length) - length, length, holders: [...holders] }] : []));
}

/** Gradients of workers, added up with tensors arriving in an order that is drawn; and the bytes that each sent. */
async function addUp(runs: readonly Held[], gradients: readonly Float32Array[], rng: Rng): Promise<readonly number[]> {
  const workers = gradients.length;
  const inboxes = gradients.map(() => new StageInbox([fp32], 0));
  const onTheirWay: (() => void)[] = [];
  const bytes = gradients.map(() => 0);
  const sends = (from: number) => async (_task: Task, step: number, { kind, stage, fragment, to, tensor }: StageOutput) => {
    const values = tensor.data as Float32Array;
    bytes[from]! += values.byteLength;
    const header = { run: 'r', kind, stage, fragment, task: 1, step, round: 1, baseVersion: 0, samples: 0, codec: 0, name: tensor.shape.join('x'), start: 0, chunk: 0, chunks: 1, offset: 0, length: values.length, crc: 0 };
    // Coded when its turn on the link comes: what was sent must not change before.
    onTheirWay.push(() => inboxes[to]!.put({ header, payload: new Uint8Array(values.slice().buffer) }));
  };
  const sums = gradients.map((gradient, worker) => {
    const task = { task: 1, shared: partsOf(runs, worker) } as unknown as Task;
    return new Peers({ worker, workers } as Place, task, inboxes[worker]!, { send: sends(worker) }, new AbortController().signal).addShared(0, gradient);
  });
  let isDone = false;
  const done = Promise.all(sums).then(() => (isDone = true));
  while (!isDone) {
    if (onTheirWay.length > 0) onTheirWay.splice(rng.below(onTheirWay.length), 1)[0]!();
    await new Promise(setImmediate);
  }
  await done;
  expect(onTheirWay).toEqual([]);
  return bytes;
}

const drawn = (rng: Rng, length: number) => Float32Array.from({ length }, () => rng.normal() * 10 ** (rng.below(8) - 4));

test.each([
  [2, 1],
  [3, 4 / 3],
  [4, 3 / 2],
])('each of %i holders sends its vector %f times: a part to each that adds it up, and its own sum to all', async (holders, times) => {
  const length = 1200;
  const rng = createRng('bytes');
  const runs = [{ length, holders: Array.from({ length: holders }, (_, worker) => worker) }];
  const gradients = runs[0]!.holders.map(() => drawn(rng, length));
  for (const sent of await addUp(runs, gradients, rng)) expect(sent).toBeCloseTo(4 * length * times, 6);
});

test('all holders come to the same bits, those of the sum in the order of workers, whoever holds what and whatever comes first', async () => {
  const run = fc.record({ length: fc.integer({ min: 1, max: 9 }), holders: fc.uniqueArray(fc.nat(4), { minLength: 2, maxLength: 5 }).map((holders) => holders.sort()) });
  await fc.assert(
    fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 5 }), fc.nat(), async (runs, seed) => {
      const rng = createRng(seed);
      const own = runs.map(({ length, holders }) => new Map(holders.map((worker) => [worker, drawn(rng, length)])));
      const gradients = Array.from({ length: 5 }, (_, worker) => Float32Array.from(own.flatMap((held) => [...(held.get(worker) ?? [])])));
      await addUp(runs, gradients, rng);
      const sums = own.map((held) => [...held.values()].reduce((sum, values) => sum.map((value, i) => value + values[i]!)));
      const expected = gradients.map((_, worker) => runs.flatMap(({ holders }, at) => (holders.includes(worker) ? [...sums[at]!] : [])));
      expect(gradients.map((gradient) => [...gradient])).toEqual(expected);
    }),
    { numRuns: 100 },
  );
});
