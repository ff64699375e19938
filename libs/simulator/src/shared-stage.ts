import type { Stage } from '@longtail/core';

/** A stage on a real engine that all who hold its blocks compute with, in turn, each with parameters of its own: virtual time stands still meanwhile. */
export class SharedStage {
  private line: Promise<unknown> = Promise.resolve();
  /** What the parameters that it has are of; undefined: nobody knows. */
  private of: object | undefined;
  /** Those parameters, where nobody knows what they are of. */
  private written: Float32Array | undefined;

  constructor(private readonly stage: Stage) {}

  /** `parameters`: that it is to have first; undefined: it does not matter. Those of the same object are the same. */
  inTurn<Result>(parameters: Float32Array | undefined, work: (stage: Stage) => Promise<Result>, of?: object): Promise<Result> {
    const turn = this.line.then(async () => {
      if (parameters !== undefined && !this.has(parameters, of)) await this.write(parameters, of);
      return work(this.stage);
    });
    this.line = turn.catch(() => undefined);
    return turn;
  }

  private has(parameters: Float32Array, of: object | undefined): boolean {
    if (of !== undefined) return of === this.of;
    return this.of === undefined && this.written !== undefined && sameValues(this.written, parameters);
  }

  private async write(parameters: Float32Array, of: object | undefined): Promise<void> {
    await this.stage.writeParameters(parameters);
    this.of = of;
    if (of !== undefined) return;
    if (this.written === undefined) this.written = parameters.slice();
    else this.written.set(parameters);
  }
}

function sameValues(a: Float32Array, b: Float32Array): boolean {
  return bytesOf(a).equals(bytesOf(b));
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
