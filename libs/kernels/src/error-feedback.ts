import type { CodecName, FeedbackEncoder, TopKSpec, VectorRange } from '@longtail/core';
import { createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import type { Kernels, KernelsImplementation } from './kernels.js';
import type { SliceableCodec } from './sliceable-codec.js';

export interface ErrorFeedbackOptions {
  /** Of the whole vector. */
  readonly length: number;
  /** What `top-k` keeps. @default DEFAULT_TOP_K */
  readonly topK?: TopKSpec;
  /** @default 'wasm' */
  readonly implementation?: KernelsImplementation;
}

/**
 * With s = v + residual, what is sent is encode(s) and the new residual s − decode(encode(s)), in float32: exact for `int8`,
 * `int4` and what `top-k` leaves out, else rounded once. It counts from `settle(true)` on. Takes 8 bytes a value.
 */
export function createErrorFeedback({ length, topK, implementation }: ErrorFeedbackOptions): FeedbackEncoder {
  const kernels = createKernels({ vectors: [length, length], implementation });
  return new ErrorFeedback(kernels, (name) => createCodec(name, kernels, topK), kernels.allocate(length), kernels.allocate(length));
}

class ErrorFeedback implements FeedbackEncoder {
  /** What was coded and not settled: begin and end of each. */
  private readonly open = new Map<number, number>();
  private codec: SliceableCodec | undefined;

  constructor(
    private readonly kernels: Kernels,
    private readonly createCodec: (name: CodecName) => SliceableCodec,
    private readonly residual: Float32Array,
    private readonly next: Float32Array,
  ) {}

  encode(name: CodecName, values: Float32Array, offset: number, out: Uint8Array): number {
    const codec = this.codec?.name === name ? this.codec : (this.codec = this.createCodec(name));
    const end = offset + values.length;
    const sum = this.next.subarray(offset, end);
    sum.set(this.residual.subarray(offset, end));
    this.kernels.accumulate(sum, values, 1);
    this.open.delete(offset);
    const written = codec.encode(sum, out);
    codec.decodeAccumulate(out.subarray(0, written), sum, -1);
    this.open.set(offset, end);
    return written;
  }

  settle(accepted: boolean, { start, length }: VectorRange = { start: 0, length: this.residual.length }): void {
    for (const [from, to] of this.open) {
      if (from < start || from >= start + length) continue;
      if (accepted) this.residual.set(this.next.subarray(from, to), from);
      this.open.delete(from);
    }
  }
}
