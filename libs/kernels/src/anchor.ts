import type { VectorRange } from '@longtail/core';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH, type Kernels } from './kernels.js';

/**
 * Where the steps are counted from that a worker took and did not send yet, while it steps on: the parameters as they were when
 * its move was taken last, or as they came from the server after that. Every step is so part of one move, and what is mixed in
 * keeps the steps that were taken since: with `mixing` α, θ ← α θ + (1 − α) (θ_server + θ − anchor). Without such steps that
 * is the mixing of Streaming DiLoCo (Douillard et al. 2025, arXiv 2501.18512). It adds (1 − α) (θ_server − anchor), whatever θ is.
 */
export class Anchor {
  private readonly kernels: Kernels;
  private readonly values: Float32Array;

  constructor(parameters: Float32Array) {
    this.kernels = createKernels({ vectors: [parameters.length] });
    this.values = this.kernels.allocate(parameters.length);
    this.moveTo(parameters);
  }

  /** The steps begin at these parameters. */
  moveTo(parameters: Float32Array): void {
    this.values.set(parameters);
  }

  /** Writes anchor − parameters to this part of `out`; steps are counted from `parameters` on. */
  takeMove(parameters: Float32Array, out: Float32Array, part: VectorRange): void {
    this.inBlocks(part, (anchor, start, end) => {
      const now = parameters.subarray(start, end);
      this.kernels.subtract(out.subarray(start, end), anchor, now);
      anchor.set(now);
    });
  }

  /** Writes to this part of `out` what mixing the server's parameters in adds to a worker's; steps are counted from the server's on. */
  mix(server: Float32Array, out: Float32Array, part: VectorRange, mixing: number): void {
    this.inBlocks(part, (anchor, start, end) => {
      const next = server.subarray(start, end);
      const added = out.subarray(start, end);
      this.kernels.subtract(added, next, anchor);
      this.kernels.scale(added, 1 - mixing);
      anchor.set(next);
    });
  }

  private inBlocks({ start, length }: VectorRange, visit: (anchor: Float32Array, start: number, end: number) => void): void {
    for (let at = start; at < start + length; at += BLOCK_LENGTH) {
      const end = Math.min(at + BLOCK_LENGTH, start + length);
      visit(this.values.subarray(at, end), at, end);
    }
  }
}
