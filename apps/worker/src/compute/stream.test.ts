import type { VectorRange } from '@longtail/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Stream, type StreamDevice } from './stream.js';

const LENGTH = 6;
const EVERYTHING = { start: 0, length: LENGTH };

/** A device that does what it is told in order, each time some turns of the event loop later. */
class LateDevice implements StreamDevice {
  readonly held = new Float32Array(LENGTH);
  private line: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly server: Float32Array,
    private readonly turns: number,
  ) {}

  step(by: readonly number[]): void {
    void this.do(() => by.forEach((value, i) => (this.held[i]! += value)));
  }

  loadParameters(): Promise<void> {
    return this.do(() => this.held.set(this.server));
  }

  readParts(memory: SharedArrayBuffer, parts: readonly VectorRange[]): Promise<void> {
    const out = new Float32Array(memory);
    return this.do(() => this.each(parts, (i) => (out[i] = this.held[i]!)));
  }

  addParts(memory: SharedArrayBuffer, parts: readonly VectorRange[]): Promise<void> {
    const added = new Float32Array(memory);
    return this.do(() => this.each(parts, (i) => (this.held[i]! += added[i]!)));
  }

  private each(parts: readonly VectorRange[], visit: (i: number) => void): void {
    for (const { start, length } of parts) for (let i = start; i < start + length; i++) visit(i);
  }

  private do(work: () => void): Promise<void> {
    const turn = this.line.then(async () => {
      for (let i = 0; i < this.turns; i++) await new Promise(setImmediate);
      work();
    });
    this.line = turn;
    return turn;
  }
}

/** Small whole numbers, so that sums are exact. */
const values = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: LENGTH, maxLength: LENGTH });
const part = fc.tuple(fc.nat(LENGTH), fc.nat(LENGTH)).map(([a, b]) => ({ start: Math.min(a, b), length: Math.abs(a - b) }));
const event = fc.oneof(
  fc.record({ what: fc.constant('step' as const), by: values }),
  fc.record({ what: fc.constant('take' as const), part }),
  fc.record({ what: fc.constant('mix' as const), part, server: values, meanwhile: values }),
);

it('every step is part of one move, however late the device is, and whatever is mixed in beside its steps', async () => {
  await fc.assert(
    fc.asyncProperty(values, fc.nat(3), fc.array(event, { maxLength: 12 }), async (initial, turns, events) => {
      const prepared = { parameters: Float32Array.from(initial), gradient: new Float32Array(LENGTH) };
      const device = new LateDevice(prepared.parameters, turns);
      const stream = new Stream(device, prepared);
      const [stepped, moved] = [new Float32Array(LENGTH), new Float32Array(LENGTH)];
      const step = (by: readonly number[]) => {
        device.step(by);
        by.forEach((value, i) => (stepped[i]! += value));
      };
      const take = async ({ start, length }: VectorRange) => {
        const taken = stream.takeStreamMove([{ start, length }]);
        step(initial); // given at once, so not part of it
        await taken;
        for (let i = start; i < start + length; i++) moved[i]! += prepared.gradient[i]!;
      };
      await stream.startStream();
      for (const one of events) {
        if (one.what === 'step') step(one.by);
        else if (one.what === 'take') await take(one.part);
        else {
          prepared.parameters.set(one.server);
          const ready = stream.prepareMix([one.part], 0);
          step(one.meanwhile);
          await ready;
          void stream.applyMix();
        }
      }
      await take(EVERYTHING);
      const last = stream.takeStreamMove([EVERYTHING]);
      await last;
      for (let i = 0; i < LENGTH; i++) moved[i]! += prepared.gradient[i]!;
      expect([...moved]).toEqual([...stepped].map((value) => 0 - value));
    }),
    { numRuns: 50 },
  );
});

it('begins anew from the parameters that there are, and forgets what was prepared', async () => {
  const prepared = { parameters: new Float32Array(LENGTH), gradient: new Float32Array(LENGTH) };
  const device = new LateDevice(prepared.parameters, 1);
  const stream = new Stream(device, prepared);
  await stream.startStream();
  prepared.parameters.fill(4);
  await stream.prepareMix([EVERYTHING], 0);
  prepared.parameters.fill(9);
  await stream.startStream();
  device.step([1, 0, 0, 0, 0, 0]);
  await stream.takeStreamMove([EVERYTHING]);
  expect([...prepared.gradient]).toEqual([-1, 0, 0, 0, 0, 0]);
  expect([...device.held]).toEqual([10, 9, 9, 9, 9, 9]);
});
