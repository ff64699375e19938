import { elementCount } from '@longtail/core';
import { floats } from './heap.js';
import type { KernelCall, WasmKernels } from './heap.js';

interface SumAttributes {
  readonly axis: number | number[];
  readonly keepDims: boolean;
}

/** Sums that the backend lacks, or for which it transposes the whole tensor first. */
export function registerSums(kernels: WasmKernels): void {
  const original = kernels.kernel<'x', SumAttributes>('Sum');
  const { parseAxisParam } = kernels.tf.util;

  // Over neighbouring axes with others behind them: [outer, reduced, inner] → [outer, inner].
  kernels.register('Sum', (call: KernelCall<'x', SumAttributes>) => {
    const { inputs: { x }, attrs, backend } = call;
    const axes = parseAxisParam(attrs.axis, x.shape).sort((a, b) => a - b);
    const [first, last] = [axes[0], axes[axes.length - 1]];
    const inner = elementCount(x.shape.slice(last + 1));
    if (x.dtype !== 'float32' || axes.length === 0 || last - first !== axes.length - 1 || inner === 1) return original(call);
    const outer = elementCount(x.shape.slice(0, first));
    const reduced = elementCount(x.shape.slice(first, last + 1));
    const out = backend.makeOutput(x.shape.flatMap((extent, i) => (i < first || i > last ? [extent] : attrs.keepDims ? [1] : [])), 'float32');
    sumMiddle(floats(backend, x), floats(backend, out), outer, reduced, inner);
    return out;
  });

  // out[s] = Σ x[i] over segmentIds[i] = s; ids outside are skipped, as TensorFlow does.
  kernels.register('UnsortedSegmentSum', ({ inputs: { x, segmentIds }, attrs: { numSegments }, backend }: KernelCall<'x' | 'segmentIds', { numSegments: number }>) => {
    const inner = elementCount(x.shape.slice(segmentIds.shape.length));
    const out = backend.makeOutput([numSegments, ...x.shape.slice(segmentIds.shape.length)], 'float32');
    const [values, ids, sums] = [floats(backend, x), backend.typedArrayFromHeap(segmentIds), floats(backend, out).fill(0)];
    for (let i = 0; i < ids.length; i++) {
      if (ids[i] < 0 || ids[i] >= numSegments) continue;
      for (let j = 0, to = ids[i] * inner, from = i * inner; j < inner; j++) sums[to + j] += values[from + j];
    }
    return out;
  });
}

/** In float64: biases and gains sum over every pixel of a batch. */
function sumMiddle(x: Float32Array, out: Float32Array, outer: number, reduced: number, inner: number): void {
  const sums = new Float64Array(inner);
  for (let o = 0, from = 0; o < outer; o++) {
    sums.fill(0);
    for (let r = 0; r < reduced; r++, from += inner) for (let i = 0; i < inner; i++) sums[i] += x[from + i];
    for (let i = 0; i < inner; i++) out[o * inner + i] = sums[i];
  }
}
