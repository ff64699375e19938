import type { Stage } from '@longtail/core';

/** A stage on a real engine that all who hold its blocks compute with, in turn, each with parameters of its own: virtual time stands still meanwhile. */
export class SharedStage {
  private line: Promise<unknown> = Promise.resolve();
  /** The parameters that it has; undefined: those that it was built with. */
  private written: Float32Array | undefined;

  constructor(private readonly stage: Stage) {}

  /** `parameters`: that it is to have first; undefined: it does not matter. */
  inTurn<Result>(parameters: Float32Array | undefined, work: (stage: Stage) => Promise<Result>): Promise<Result> {
    const turn = this.line.then(async () => {
      if (parameters !== undefined) await this.write(parameters);
      return work(this.stage);
    });
    this.line = turn.catch(() => undefined);
    return turn;
  }

  /** Devices that hold one version all come with the same. */
  private async write(parameters: Float32Array): Promise<void> {
    const { written } = this;
    if (written !== undefined && sameValues(written, parameters)) return;
    await this.stage.writeParameters(parameters);
    if (written === undefined) this.written = parameters.slice();
    else written.set(parameters);
  }
}

function sameValues(a: Float32Array, b: Float32Array): boolean {
  return bytesOf(a).equals(bytesOf(b));
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
