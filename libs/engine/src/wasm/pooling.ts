import { floats } from './heap.js';
import type { KernelCall, TensorInfo, WasmKernels } from './heap.js';

type Shape4D = [number, number, number, number];

interface PoolAttributes {
  readonly filterSize: number | [number, number];
  readonly strides: number | [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** One window, clipped to the input: rows [top, bottom), columns [left, right); offsets are those of channel 0. */
type Visit = (image: number, top: number, bottom: number, left: number, right: number, output: number) => void;

/** The gradient of max-pooling [N, h, w, C] on the heap: the backend's own (4.22) loses windows whose maximum is negative. */
export function registerPoolingGradient(kernels: WasmKernels): void {
  const windows = (x: TensorInfo, attrs: PoolAttributes, visit: Visit): void => {
    const info = kernels.tf.backend_util.computePool2DInfo(x.shape as Shape4D, attrs.filterSize, attrs.strides, 1, attrs.pad, attrs.dimRoundingMode);
    const { inHeight, inWidth, inChannels, padInfo } = info;
    for (let n = 0, output = 0; n < info.batchSize; n++) {
      for (let oh = 0; oh < info.outHeight; oh++) {
        const top = oh * info.strideHeight - padInfo.top;
        for (let ow = 0; ow < info.outWidth; ow++, output += inChannels) {
          const left = ow * info.strideWidth - padInfo.left;
          const [bottom, right] = [Math.min(top + info.filterHeight, inHeight), Math.min(left + info.filterWidth, inWidth)];
          visit(n * inHeight * inWidth * inChannels, Math.max(top, 0), bottom, Math.max(left, 0), right, output);
        }
      }
    }
  };

  // The first of equal maxima takes the gradient, as in TensorFlow.
  kernels.register('MaxPoolGrad', ({ inputs: { dy, input }, attrs, backend }: KernelCall<'dy' | 'input', PoolAttributes>) => {
    const [, , width, channels] = input.shape;
    const out = backend.makeOutput([...input.shape], 'float32');
    const [dx, x, dOut] = [floats(backend, out).fill(0), floats(backend, input), floats(backend, dy)];
    windows(input, attrs, (image, top, bottom, left, right, output) => {
      for (let c = 0; c < channels; c++) {
        let best = image + (top * width + left) * channels + c;
        for (let h = top; h < bottom; h++) {
          for (let w = left; w < right; w++) {
            const at = image + (h * width + w) * channels + c;
            if (x[at] > x[best]) best = at;
          }
        }
        dx[best] += dOut[output + c];
      }
    });
    return out;
  });
}
