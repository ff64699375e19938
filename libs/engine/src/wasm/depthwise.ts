import { floats } from './heap.js';
import type { KernelCall, WasmBackend, WasmKernels } from './heap.js';

type Shape4D = [number, number, number, number];

interface DepthwiseAttributes {
  readonly strides: number | [number, number];
  readonly dilations: number | [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Visits each (input pixel, filter tap, output pixel) that a depthwise convolution joins; offsets are those of channel 0. */
type Visit = (input: number, tap: number, output: number) => void;

/** The gradients of depthwise convolutions, which the backend lacks: direct sums on the heap. x [N, h, w, C], filter [fh, fw, C, M]. */
export function registerDepthwiseGradients(kernels: WasmKernels): void {
  const windows = (inputShape: Shape4D, filterShape: Shape4D, attrs: DepthwiseAttributes, visit: Visit): void => {
    const info = kernels.tf.backend_util.computeConv2DInfo(inputShape, filterShape, attrs.strides, attrs.dilations, attrs.pad, attrs.dimRoundingMode, true);
    const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, filterHeight, filterWidth, padInfo } = info;
    for (let n = 0; n < batchSize; n++) {
      for (let oh = 0; oh < outHeight; oh++) {
        for (let ow = 0; ow < outWidth; ow++) {
          const output = ((n * outHeight + oh) * outWidth + ow) * outChannels;
          for (let fh = 0; fh < filterHeight; fh++) {
            const ih = oh * info.strideHeight - padInfo.top + fh * info.dilationHeight;
            if (ih < 0 || ih >= inHeight) continue;
            for (let fw = 0; fw < filterWidth; fw++) {
              const iw = ow * info.strideWidth - padInfo.left + fw * info.dilationWidth;
              if (iw < 0 || iw >= inWidth) continue;
              visit(((n * inHeight + ih) * inWidth + iw) * inChannels, (fh * filterWidth + fw) * outChannels, output);
            }
          }
        }
      }
    }
  };

  kernels.register('DepthwiseConv2dNativeBackpropFilter', ({ inputs: { x, dy }, attrs, backend }: KernelCall<'x' | 'dy', DepthwiseAttributes & { filterShape: Shape4D }>) => {
    const out = zeros(backend, attrs.filterShape);
    const [dw, from, dOut] = [floats(backend, out), floats(backend, x), floats(backend, dy)];
    const [, , channels, multiplier] = attrs.filterShape;
    windows(x.shape as Shape4D, attrs.filterShape, attrs, (input, tap, output) => {
      for (let c = 0, o = 0; c < channels; c++) for (let m = 0; m < multiplier; m++, o++) dw[tap + o] += from[input + c] * dOut[output + o];
    });
    return out;
  });

  kernels.register('DepthwiseConv2dNativeBackpropInput', ({ inputs: { dy, filter }, attrs, backend }: KernelCall<'dy' | 'filter', DepthwiseAttributes & { inputShape: Shape4D }>) => {
    const out = zeros(backend, attrs.inputShape);
    const [dx, w, dOut] = [floats(backend, out), floats(backend, filter), floats(backend, dy)];
    const [, , channels, multiplier] = filter.shape;
    windows(attrs.inputShape, filter.shape as Shape4D, attrs, (input, tap, output) => {
      for (let c = 0, o = 0; c < channels; c++) for (let m = 0; m < multiplier; m++, o++) dx[input + c] += w[tap + o] * dOut[output + o];
    });
    return out;
  });
}

function zeros(backend: WasmBackend, shape: Shape4D): ReturnType<WasmBackend['makeOutput']> {
  const out = backend.makeOutput([...shape], 'float32');
  floats(backend, out).fill(0);
  return out;
}
