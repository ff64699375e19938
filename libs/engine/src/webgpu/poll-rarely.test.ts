import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { pollRarely } from './poll-rarely.js';

/** Turns of the event loop that were asked for, and where they were. */
let turns: (() => void)[];
const { setImmediate: original } = globalThis;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  turns = [];
  globalThis.setImmediate = ((callback: () => void) => turns.push(callback)) as unknown as typeof setImmediate;
});
afterEach(() => {
  globalThis.setImmediate = original;
  vi.useRealTimers();
});

/** As Dawn's binding has it: it looks again and again, in a native function, while a buffer waits. */
function dawn(): { readonly buffers: { mapAsync(): Promise<void> }; readonly looks: number[] } {
  const looks: number[] = [];
  const look = (): void => {
    looks.push(performance.now());
    globalThis.setImmediate(look.bind(undefined));
  };
  return {
    looks,
    buffers: {
      mapAsync: async () => {
        if (looks.length === 0) look();
      },
    },
  };
}

/** A tenth of a millisecond a turn. */
function pass(ms: number): void {
  for (let turn = 0; turn < 10 * ms; turn++) {
    turns.splice(0).forEach((callback) => callback());
    vi.advanceTimersByTime(0.1);
  }
}

it('looks at every turn when a wait begins, once a millisecond when it lasts, and at once when the next begins', () => {
  const { buffers, looks } = dawn();
  const startMs = performance.now();
  pollRarely(buffers);
  void buffers.mapAsync();
  pass(10);
  expect(looks.length).toBeGreaterThan(90);
  const eager = looks.length;
  pass(20);
  expect(looks.length - eager).toBeGreaterThanOrEqual(15);
  expect(looks.length - eager).toBeLessThanOrEqual(21);
  const rare = looks.length;
  void buffers.mapAsync();
  pass(5);
  expect(looks.length - rare).toBeGreaterThan(45);
  expect(looks.at(-1)! - startMs).toBeLessThan(36);
});

it('gives all others their turn, and is undone', () => {
  const { buffers } = dawn();
  const { mapAsync } = buffers;
  const { setImmediate: before } = globalThis;
  const undo = pollRarely(buffers);
  const other = (): void => undefined;
  setImmediate(other);
  expect(turns).toEqual([other]);
  undo();
  expect(globalThis.setImmediate).toBe(before);
  expect(buffers.mapAsync).toBe(mapAsync);
});
