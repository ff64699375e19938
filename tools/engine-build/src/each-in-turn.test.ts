import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eachInTurn } from './each-in-turn.js';

describe('eachInTurn', () => {
  it('works on every item, on no more at once than it may', async () => {
    const done: number[] = [];
    let [running, most] = [0, 0];
    await eachInTurn([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      most = Math.max(most, ++running);
      await setImmediate();
      running--;
      done.push(item);
    });
    expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(most).toBe(3);
  });

  it('begins nothing after a failure, and throws it when the others have ended', async () => {
    const [begun, ended]: number[][] = [[], []];
    const work = eachInTurn([1, 2, 3, 4], 2, async (item) => {
      begun!.push(item);
      if (item === 1) throw new Error('one');
      await setImmediate();
      ended!.push(item);
    });
    await expect(work).rejects.toThrow('one');
    expect([begun, ended]).toEqual([[1, 2], [2]]);
  });
});
