import { expect, test } from 'vitest';
import { Answers } from './answers.js';
import { clockOf } from './testing/clock.js';

/** Time that passes when it is told to. */
function setUp() {
  let now = 0;
  const sleepers = new Set<{ readonly atMs: number; wake(): void }>();
  const clock = clockOf({
    nowMs: () => now,
    sleep: (ms, signal) =>
      new Promise<void>((wake, reject) => {
        sleepers.add({ atMs: now + ms, wake });
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  });
  const pass = async (ms: number) => {
    now += ms;
    for (const sleeper of [...sleepers].filter(({ atMs }) => atMs <= now)) {
      sleepers.delete(sleeper);
      sleeper.wake();
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { answers: new Answers<string>(clock), pass };
}

test('a question gets its answer, and later ones go nowhere', async () => {
  const { answers } = setUp();
  const asked = answers.to('a', 100);
  answers.give('b', 'not asked');
  answers.give('a', 'yes');
  answers.give('a', 'no');
  expect(await asked).toBe('yes');
  expect(answers.heard('a')).toBe(false);
});

test('it is waited for as long as something is heard, and no longer', async () => {
  const { answers, pass } = setUp();
  let answer: string | undefined = 'waiting';
  const asked = answers.to('a', 100).then((given) => (answer = given));
  await pass(80);
  expect(answers.heard('a')).toBe(true);
  await pass(80);
  expect(answer).toBe('waiting');
  await pass(30);
  await asked;
  expect(answer).toBeUndefined();
});

test('it can be given up', async () => {
  const { answers } = setUp();
  const asked = answers.to('a', 100);
  answers.giveUp('a');
  expect(await asked).toBeUndefined();
});
