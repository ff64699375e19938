import { floats } from './heap.js';
import type { KernelCall, TensorInfo, WasmKernels } from './heap.js';

type Shape4D = [number, number, number, number];

interface PoolAttributes {
  readonly filterSize: number | [number, number];
  readonly strides: number | [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

interface Window {
  readonly batch: number;
  /** Top left corner in the input, and the first row and column behind the window; already clipped to the input. */
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
  /** Offset of channel 0 in the output. */
  readonly output: number;
}

/** Gradients of pooling as direct sums on the heap: the backend's own leave parts of their result unwritten. x [N, h, w, C]. */
export function registerPoolingGradients(kernels: WasmKernels): void {
  const windows = (x: TensorInfo, attrs: PoolAttributes): readonly Window[] => {
    const info = kernels.tf.backend_util.computePool2DInfo(x.shape as Shape4D, attrs.filterSize, attrs.strides, 1, attrs.pad, attrs.dimRoundingMode);
    const all: Window[] = [];
    for (let batch = 0, output = 0; batch < info.batchSize; batch++) {
      for (let oh = 0; oh < info.outHeight; oh++) {
        for (let ow = 0; ow < info.outWidth; ow++, output += info.outChannels) {
          const [top, left] = [oh * info.strideHeight - info.padInfo.top, ow * info.strideWidth - info.padInfo.left];
          const [bottom, right] = [Math.min(top + info.filterHeight, info.inHeight), Math.min(left + info.filterWidth, info.inWidth)];
          all.push({ batch, top: Math.max(top, 0), left: Math.max(left, 0), bottom, right, output });
        }
      }
    }
    return all;
  };

  // The first of equal maxima takes the gradient, as in TensorFlow.
  kernels.register('MaxPoolGrad', ({ inputs: { dy, input }, attrs, backend }: KernelCall<'dy' | 'input', PoolAttributes>) => {
    const [, height, width, channels] = input.shape;
    const out = backend.makeOutput([...input.shape], 'float32');
    const [dx, x, dOut] = [floats(backend, out).fill(0), floats(backend, input), floats(backend, dy)];
    for (const { batch, top, left, bottom, right, output } of windows(input, attrs)) {
      for (let c = 0; c < channels; c++) {
        let best = -1;
        let highest = -Infinity;
        for (let h = top; h < bottom; h++) {
          for (let w = left; w < right; w++) {
            const at = ((batch * height + h) * width + w) * channels + c;
            if (best < 0 || x[at] > highest) [best, highest] = [at, x[at]];
          }
        }
        dx[best] += dOut[output + c];
      }
    }
    return out;
  });

  // Padding does not count: each window divides by the pixels it covers.
  kernels.register('AvgPoolGrad', ({ inputs: { dy, input }, attrs, backend }: KernelCall<'dy' | 'input', PoolAttributes>) => {
    const [, height, width, channels] = input.shape;
    const out = backend.makeOutput([...input.shape], 'float32');
    const [dx, dOut] = [floats(backend, out).fill(0), floats(backend, dy)];
    for (const { batch, top, left, bottom, right, output } of windows(input, attrs)) {
      const share = 1 / ((bottom - top) * (right - left));
      for (let h = top; h < bottom; h++) {
        for (let w = left; w < right; w++) {
          const at = ((batch * height + h) * width + w) * channels;
          for (let c = 0; c < channels; c++) dx[at + c] += dOut[output + c] * share;
        }
      }
    }
    return out;
  });
}
