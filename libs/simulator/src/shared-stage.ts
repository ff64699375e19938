import type { Stage } from '@longtail/core';

/** A stage on a real engine that all who hold its blocks compute with, in turn, each with parameters of its own: virtual time stands still meanwhile. */
export class SharedStage {
  private line: Promise<unknown> = Promise.resolve();

  constructor(private readonly stage: Stage) {}

  /** `parameters`: that it is to have first; undefined: it does not matter. */
  inTurn<Result>(parameters: Float32Array | undefined, work: (stage: Stage) => Promise<Result>): Promise<Result> {
    const turn = this.line.then(async () => {
      if (parameters !== undefined) await this.stage.writeParameters(parameters);
      return work(this.stage);
    });
    this.line = turn.catch(() => undefined);
    return turn;
  }
}
