import type { VectorRange } from '@longtail/core';
import { Anchor } from '@longtail/kernels';

/** A stream of local steps, from where it began on: what its parts moved since they were taken or mixed, and what is to be mixed in. */
export class VirtualStream {
  private readonly anchor: Anchor;
  /** What was prepared. */
  private readonly mix: Float32Array;

  constructor(parameters: Float32Array) {
    this.anchor = new Anchor(parameters);
    this.mix = new Float32Array(parameters.length);
  }

  startAt(parameters: Float32Array): void {
    this.anchor.moveTo(parameters);
  }

  takeMove(parameters: Float32Array, out: Float32Array, parts: readonly VectorRange[]): void {
    for (const part of parts) this.anchor.takeMove(parameters, out, part);
  }

  prepareMix(server: Float32Array, parts: readonly VectorRange[], mixing: number): void {
    this.mix.fill(0);
    for (const part of parts) this.anchor.mix(server, this.mix, part, mixing);
  }

  applyMix(parameters: Float32Array): void {
    const { mix } = this;
    for (let i = 0; i < mix.length; i++) parameters[i]! += mix[i]!;
  }
}
