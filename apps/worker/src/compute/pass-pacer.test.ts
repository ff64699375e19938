import { expect, test } from 'vitest';
import { Pacer } from './pacer.js';
import { PassPacer } from './pass-pacer.js';

/** Work and rests on a clock of its own, at a quarter of the speed. */
function passes() {
  let nowMs = 0;
  const clock = () => nowMs;
  const pacer = new PassPacer(new Pacer(0.25, { pause: (ms) => void (nowMs += ms) }, clock), clock);
  const take = async (kind: string, ms: number, unpausedMs = Infinity): Promise<number> => {
    const startMs = nowMs;
    await pacer.run(kind, unpausedMs, async () => void (nowMs += ms));
    return nowMs - startMs;
  };
  return { pacer, take };
}

test('a pass takes as long as it would on the slower device', async () => {
  const { pacer, take } = passes();
  pacer.met('F 4');
  for (const ms of [10, 10, 10]) expect(await take('F 4', ms)).toBe(4 * ms);
});

test('what the engine prepares when it meets a size first is not paced', async () => {
  const { take } = passes();
  expect(await take('F 4', 30, 10)).toBe(40);
  expect(await take('F 8', 500, 10)).toBe(500);
  expect(await take('F 4', 10, 10)).toBe(40);
});

test('… and is told apart from the pass itself, once', async () => {
  const { pacer, take } = passes();
  await take('F 4', 500, 10);
  await take('F 4', 12, 10);
  await take('F 8', 20, 20);
  expect(pacer.takePrepareMs()).toBe(460);
  expect(pacer.takePrepareMs()).toBe(0);
});

test('what is slow after a rest only is not the device', async () => {
  const { pacer, take } = passes();
  pacer.met('F 4');
  for (let i = 0; i < 20; i++) expect(await take('F 4', 15, 10)).toBe(40);
});

test('a hiccup is not stretched; what the device has shown that it can do counts', async () => {
  const { pacer, take } = passes();
  pacer.met('B 4');
  for (let i = 0; i < 8; i++) await take('B 4', 10);
  expect(await take('B 4', 30)).toBe(40);
  expect(await take('B 4', 60)).toBe(60);
  expect(await take('B 4', 8)).toBe(32);
  for (let i = 0; i < 15; i++) expect(await take('B 4', 20)).toBe(32);
  expect(await take('F 4', 7)).toBe(28);
});
