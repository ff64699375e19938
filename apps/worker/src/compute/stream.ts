import { setImmediate } from 'node:timers/promises';
import type { Compute, Prepared, VectorRange } from '@longtail/core';
import { Anchor } from '@longtail/kernels';

/** Values between two turns of the event loop. */
const TURN_LENGTH = 2 ** 18;

/** What a stream has the device do, in the order in which it is called. The vector lies in shared memory. */
export interface StreamDevice {
  loadParameters(): Promise<void>;
  readParts(vector: SharedArrayBuffer, parts: readonly VectorRange[]): Promise<void>;
  addParts(vector: SharedArrayBuffer, parts: readonly VectorRange[]): Promise<void>;
}

type StreamCalls = Pick<Compute, 'startStream' | 'takeStreamMove' | 'prepareMix' | 'applyMix'>;

/**
 * The arithmetic of a stream of local steps, on the event loop while the device steps on: that one only gives parameters and
 * adds to them (docs/adr/0028). What is worked out is worked out in the order of the calls.
 */
export class Stream implements StreamCalls {
  private readonly anchor: Anchor;
  /** The device's parameters, or what they get added. */
  private readonly memory: SharedArrayBuffer;
  private readonly vector: Float32Array;
  private mix: readonly VectorRange[] = [];
  /** Until it resolves, the vector is in use. Never rejects. */
  private line: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly device: StreamDevice,
    private readonly prepared: Pick<Prepared, 'parameters' | 'gradient'>,
  ) {
    this.anchor = new Anchor(prepared.parameters);
    this.memory = new SharedArrayBuffer(prepared.parameters.byteLength);
    this.vector = new Float32Array(this.memory);
  }

  async startStream(): Promise<void> {
    this.mix = [];
    await Promise.all([this.device.loadParameters(), this.inLine(async () => this.anchor.moveTo(this.prepared.parameters))]);
  }

  takeStreamMove(parts: readonly VectorRange[]): Promise<void> {
    // At once: steps that are given after it are not part of it.
    const read = this.device.readParts(this.memory, parts);
    return this.inLine(async () => {
      await read;
      await inTurns(parts, (part) => this.anchor.takeMove(this.vector, this.prepared.gradient, part));
    });
  }

  prepareMix(parts: readonly VectorRange[], mixing: number): Promise<void> {
    this.mix = parts;
    return this.inLine(() => inTurns(parts, (part) => this.anchor.mix(this.prepared.parameters, this.vector, part, mixing)));
  }

  applyMix(): Promise<void> {
    const added = this.device.addParts(this.memory, this.mix);
    return this.inLine(() => added);
  }

  private inLine(work: () => Promise<void>): Promise<void> {
    const turn = this.line.then(work);
    this.line = turn.catch(() => undefined);
    return turn;
  }
}

async function inTurns(parts: readonly VectorRange[], work: (part: VectorRange) => void): Promise<void> {
  for (const { start, length } of parts) {
    for (let done = 0; done < length; done += TURN_LENGTH) {
      work({ start: start + done, length: Math.min(TURN_LENGTH, length - done) });
      await setImmediate();
    }
  }
}
