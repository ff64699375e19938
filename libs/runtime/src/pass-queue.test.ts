import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PassQueue } from './pass-queue.js';

/** A device that does one call after the other, each when it is told to. */
function device() {
  const given: { readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  const run = () => new Promise<void>((done, fail) => given.push({ done, fail }));
  return { given, run };
}

const turns = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

test('the device has one pass to work on and one behind it, as long as there are passes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), async (passes) => {
      const { given, run } = device();
      const queue = new PassQueue();
      const walk = (async () => {
        for (let i = 0; i < passes; i++) await queue.add(run());
        await queue.drained();
      })();
      for (let done = 0; done < passes; done++) {
        await turns();
        expect(given).toHaveLength(Math.min(passes, done + 2));
        given[done]!.done();
      }
      await walk;
    }),
  );
});

test('the first failure ends what waits for a pass, and for what a pass needs', async () => {
  const { given, run } = device();
  const queue = new PassQueue();
  await queue.add(run());
  const waits = [queue.add(run()), queue.unlessFailed(new Promise(() => undefined)), queue.drained()];
  for (const wait of waits) wait.catch(() => undefined);
  given[0]!.fail(new Error('the device broke'));
  given[1]!.done();
  await turns();
  for (const wait of waits) await expect(wait).rejects.toThrow('the device broke');
  await expect(queue.unlessFailed(new Promise(() => undefined))).rejects.toThrow('the device broke');
});
