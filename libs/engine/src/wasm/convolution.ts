import { floats, free } from './heap.js';
import type { KernelCall, TensorInfo, WasmBackend, WasmKernels } from './heap.js';

interface GradientAttributes {
  readonly strides: number | [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

interface ConvolutionAttributes extends GradientAttributes {
  readonly dataFormat: 'NHWC';
  readonly dilations: [number, number];
}

/** The gradients of a convolution as convolutions, which XNNPACK has fast: the backend lacks one and loops for the other. */
export function registerConvolutionGradients(kernels: WasmKernels): void {
  const { computeConv2DInfo } = kernels.tf.backend_util;
  const convolve = kernels.kernel<'x' | 'filter', ConvolutionAttributes>('Conv2D');
  const transpose = kernels.kernel<'x', { perm: number[] }>('Transpose');
  const reverse = kernels.kernel<'x', { dims: number[] }>('Reverse');
  const sliding = (x: TensorInfo, filter: TensorInfo, dilations: [number, number], backend: WasmBackend): TensorInfo =>
    convolve({ inputs: { x, filter }, attrs: { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC', dilations }, backend });

  // dW[i, j, c, o] = Σ_nhw x[n, h·s + i, w·s + j, c] · dy[n, h, w, o]: x with channels as its batch, convolved with dy
  // dilated by the stride.
  kernels.register('Conv2DBackpropFilter', ({ inputs: { x, dy }, attrs, backend }: KernelCall<'x' | 'dy', GradientAttributes & { filterShape: [number, number, number, number] }>) => {
    const info = computeConv2DInfo(x.shape as [number, number, number, number], attrs.filterShape, attrs.strides, 1, attrs.pad, attrs.dimRoundingMode);
    const { padInfo, strideHeight, strideWidth } = info;
    const reach: [number, number] = [(info.outHeight - 1) * strideHeight + info.filterHeight, (info.outWidth - 1) * strideWidth + info.filterWidth];
    const placed = place(backend, x, { extent: reach, origin: [padInfo.top, padInfo.left], step: [1, 1] });
    const channelsFirst = transpose({ inputs: { x: placed }, attrs: { perm: [3, 1, 2, 0] }, backend });
    const filter = transpose({ inputs: { x: dy }, attrs: { perm: [1, 2, 0, 3] }, backend });
    const product = sliding(channelsFirst, filter, [strideHeight, strideWidth], backend);
    const gradient = transpose({ inputs: { x: product }, attrs: { perm: [1, 2, 0, 3] }, backend });
    free(backend, [placed, channelsFirst, filter, product]);
    return gradient;
  });

  // dx = dy with stride − 1 zeros between its pixels and a margin around them, convolved with the filter turned by 180°.
  kernels.register('Conv2DBackpropInput', ({ inputs: { dy, filter }, attrs, backend }: KernelCall<'dy' | 'filter', GradientAttributes & { inputShape: [number, number, number, number] }>) => {
    const info = computeConv2DInfo(attrs.inputShape, filter.shape as [number, number, number, number], attrs.strides, 1, attrs.pad, attrs.dimRoundingMode);
    const { padInfo, filterHeight, filterWidth } = info;
    const placed = place(backend, dy, {
      extent: [info.inHeight + filterHeight - 1, info.inWidth + filterWidth - 1],
      origin: [filterHeight - 1 - padInfo.top, filterWidth - 1 - padInfo.left],
      step: [info.strideHeight, info.strideWidth],
    });
    const turned = reverse({ inputs: { x: filter }, attrs: { dims: [0, 1] }, backend });
    const swapped = transpose({ inputs: { x: turned }, attrs: { perm: [0, 1, 3, 2] }, backend });
    const gradient = sliding(placed, swapped, [1, 1], backend);
    free(backend, [placed, turned, swapped]);
    return gradient;
  });
}

interface Placement {
  /** Height and width of the result. */
  readonly extent: readonly [number, number];
  /** Where pixel (0, 0) comes to lie. */
  readonly origin: readonly [number, number];
  /** Distance between neighbouring pixels. */
  readonly step: readonly [number, number];
}

/** Lays the pixels of x [N, h, w, C] out on a field of zeros; what falls beyond its edge is dropped. */
function place(backend: WasmBackend, x: TensorInfo, { extent, origin, step }: Placement): TensorInfo {
  const [batch, height, width, channels] = x.shape;
  const out = backend.makeOutput([batch, extent[0], extent[1], channels], 'float32');
  const [from, to] = [floats(backend, x), floats(backend, out).fill(0)];
  const columns = Math.min(width, Math.ceil((extent[1] - origin[1]) / step[1]));
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < height; h++) {
      const row = origin[0] + h * step[0];
      if (row >= extent[0]) break;
      const source = (n * height + h) * width * channels;
      const target = ((n * extent[0] + row) * extent[1] + origin[1]) * channels;
      if (step[1] === 1) to.set(from.subarray(source, source + columns * channels), target);
      else for (let w = 0; w < columns; w++) for (let c = 0; c < channels; c++) to[target + w * step[1] * channels + c] = from[source + w * channels + c];
    }
  }
  return out;
}
