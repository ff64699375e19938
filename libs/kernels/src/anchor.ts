import type { VectorRange } from '@longtail/core';

/**
 * Where the steps are counted from that a worker took and did not send yet, while it steps on: the parameters as they were when
 * its move was taken last, or as they came from the server after that. Every step is so part of one move, and what is mixed in
 * keeps the steps that were taken since: with `mixing` α, θ ← α θ + (1 − α) (θ_server + θ − anchor). Without such steps that
 * is the mixing of Streaming DiLoCo (Douillard et al. 2025, arXiv 2501.18512).
 */
export class Anchor {
  private readonly values: Float32Array;

  constructor(parameters: Float32Array) {
    this.values = parameters.slice();
  }

  /** The steps begin at these parameters. */
  moveTo(parameters: Float32Array): void {
    this.values.set(parameters);
  }

  /** Writes anchor − parameters to this part of `out`; steps are counted from `parameters` on. */
  takeMove(parameters: Float32Array, out: Float32Array, { start, length }: VectorRange): void {
    const { values } = this;
    for (let i = start; i < start + length; i++) {
      out[i] = values[i]! - parameters[i]!;
      values[i] = parameters[i]!;
    }
  }

  /** Mixes the server's parameters into this part of `parameters`; steps are counted from the server's on. */
  mix(parameters: Float32Array, server: Float32Array, { start, length }: VectorRange, mixing: number): void {
    const { values } = this;
    for (let i = start; i < start + length; i++) {
      const stepped = server[i]! + (parameters[i]! - values[i]!);
      parameters[i] = stepped + mixing * (parameters[i]! - stepped);
      values[i] = server[i]!;
    }
  }
}
