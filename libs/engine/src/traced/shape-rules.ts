import { elementCount, LongtailError } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { Ops } from '../ops.js';
import { loadTfjs } from '../eager/tfjs.js';

/** What a step takes and gives, without values. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32' | 'bool';
}

export type Attributes = Readonly<Record<string, unknown>>;
/** By name, or in order for kernels that take any number. */
type KernelInputs = Readonly<Record<string, TensorSpec>>;
type KernelRule = (inputs: KernelInputs, attributes: Attributes) => TensorSpec | readonly TensorSpec[];
type OpRule = (...args: never[]) => TensorSpec;

/** More values than any tensor of a step may have: 2³¹ − 1. */
const MOST_VALUES = 2 ** 31 - 1;

const same = (inputs: KernelInputs): TensorSpec => only(inputs);
const asBool = (inputs: KernelInputs): TensorSpec => ({ shape: only(inputs).shape, dtype: 'bool' });
const broadcast = ({ a, b, alpha, x }: KernelInputs): TensorSpec => {
  const [left, right] = [a ?? x, b ?? alpha];
  return { shape: util().backend_util.assertAndGetBroadcastShape([...left.shape], [...right.shape]), dtype: left.dtype };
};
const comparison = (inputs: KernelInputs): TensorSpec => ({ ...broadcast(inputs), dtype: 'bool' });
const reduction = (inputs: KernelInputs, { axis, reductionIndices, keepDims }: Attributes): TensorSpec => {
  const { shape, dtype } = only(inputs);
  const axes = axesOf(axis ?? reductionIndices, shape);
  return { dtype, shape: shape.flatMap((extent, i) => (!axes.includes(i) ? [extent] : keepDims === true ? [1] : [])) };
};
const arg = (inputs: KernelInputs, { axis }: Attributes): TensorSpec => ({ ...reduction(inputs, { axis }), dtype: 'int32' });
const convolution =
  (depthwise: boolean): KernelRule =>
  ({ x, filter }, { strides, pad, dataFormat, dilations, dimRoundingMode }) => {
    const { computeConv2DInfo, convertConv2DDataFormat } = util().backend_util;
    const format = convertConv2DDataFormat((dataFormat ?? 'NHWC') as 'NHWC');
    const info = computeConv2DInfo(rank4(x), rank4(filter), strides as number, (dilations ?? 1) as number, pad as 'same', dimRoundingMode as 'floor', depthwise, format);
    expect(info.inChannels === filter.shape[2], `channels ${info.inChannels} and a filter for ${filter.shape[2]}`);
    return { shape: info.outShape, dtype: x.dtype };
  };
const pooling: KernelRule = ({ x }, { filterSize, strides, pad, dimRoundingMode }) => ({
  shape: util().backend_util.computePool2DInfo(rank4(x), filterSize as number, strides as number, 1, pad as 'same', dimRoundingMode as 'floor').outShape,
  dtype: x.dtype,
});
const resized: KernelRule = ({ images }, { size }) => {
  const [batch, , , channels] = rank4(images);
  const [height, width] = integers(size);
  return { shape: [batch, height, width, channels], dtype: 'float32' };
};
const padded: KernelRule = ({ x }, { paddings }) => {
  const pairs = paddings as readonly (readonly number[])[];
  expect(Array.isArray(paddings) && pairs.length === x.shape.length && pairs.every((pair) => integers(pair).length === 2), 'paddings that do not fit');
  return { shape: x.shape.map((extent, i) => extent + pairs[i][0] + pairs[i][1]), dtype: x.dtype };
};

const ELEMENTWISE =
  'Abs Acos Acosh Asin Asinh Atan Atanh Ceil ClipByValue Cos Cosh Cumsum Elu Erf Exp Expm1 Floor FusedBatchNorm Identity LRN LeakyRelu Log Log1p ' +
  'LogSoftmax Neg OnesLike Reciprocal Relu Relu6 Reverse Round Rsqrt Selu Sigmoid Sign Sin Sinh Softmax Softplus Sqrt Square Step Tan Tanh ZerosLike';
const BROADCASTING = 'Add Atan2 FloorDiv Maximum Minimum Mod Multiply Pow Prelu RealDiv SquaredDifference Sub';
const COMPARING = 'Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr NotEqual';

/**
 * The kernels of TF.js that a traced block may use, with the shapes of what they give: those that have a gradient, and those
 * that masks and constants are made of. Throws where inputs or attributes do not fit.
 */
const KERNELS: ReadonlyMap<string, KernelRule> = new Map<string, KernelRule>([
  ...ELEMENTWISE.split(' ').map((name): [string, KernelRule] => [name, same]),
  ...BROADCASTING.split(' ').map((name): [string, KernelRule] => [name, broadcast]),
  ...COMPARING.split(' ').map((name): [string, KernelRule] => [name, comparison]),
  ...['IsFinite', 'IsInf', 'IsNan', 'LogicalNot'].map((name): [string, KernelRule] => [name, asBool]),
  ...['All', 'Any', 'Max', 'Mean', 'Min', 'Prod', 'Sum'].map((name): [string, KernelRule] => [name, reduction]),
  ['ArgMax', arg],
  ['ArgMin', arg],
  ['AddN', (inputs) => only(inputs)],
  ['AvgPool', pooling],
  ['MaxPool', pooling],
  ['Conv2D', convolution(false)],
  ['DepthwiseConv2dNative', convolution(true)],
  ['Conv2DBackpropInput', ({ dy }, { inputShape }) => ({ shape: integers(inputShape), dtype: dy.dtype })],
  ['ResizeBilinear', resized],
  ['ResizeNearestNeighbor', resized],
  ['MirrorPad', padded],
  ['PadV2', padded],
  [
    'BatchMatMul',
    ({ a, b }, { transposeA, transposeB }) => {
      const [m, inner] = lastTwo(a, transposeA === true);
      const [inner2, n] = lastTwo(b, transposeB === true);
      expect(inner === inner2, `a product of ${text(a)} and ${text(b)}`);
      const outer = util().backend_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
      return { shape: [...outer, m, n], dtype: a.dtype };
    },
  ],
  [
    'Reshape',
    ({ x }, { shape }) => {
      const to = util().util.inferFromImplicitShape([...(shape as number[])], elementCount(x.shape));
      expect(elementCount(to) === elementCount(x.shape), `${text(x)} as [${to.join(', ')}]`);
      return { shape: to, dtype: x.dtype };
    },
  ],
  [
    'Transpose',
    ({ x }, { perm }) => {
      const order = integers(perm);
      expect([...order].sort((a, b) => a - b).every((axis, i) => axis === i) && order.length === x.shape.length, `a permutation [${order.join(', ')}] of ${text(x)}`);
      return { shape: order.map((axis) => x.shape[axis]), dtype: x.dtype };
    },
  ],
  [
    'ExpandDims',
    ({ input }, { dim }) => {
      const [at] = integers([dim]);
      const shape = [...input.shape];
      shape.splice(at < 0 ? shape.length + at + 1 : at, 0, 1);
      return { shape, dtype: input.dtype };
    },
  ],
  [
    'Slice',
    ({ x }, { begin, size }) => {
      const { assertParamsValid, parseSliceParams } = util().slice_util;
      const [from, extents] = parseSliceParams(info(x), begin as number[], size as number[]);
      assertParamsValid(info(x), from, extents);
      return { shape: extents, dtype: x.dtype };
    },
  ],
  [
    'StridedSlice',
    ({ x }, attributes) => {
      const { begin, end, strides } = attributes;
      const mask = (name: string): number => (attributes[name] ?? 0) as number;
      const masks = ['beginMask', 'endMask', 'ellipsisMask', 'newAxisMask', 'shrinkAxisMask'].map(mask) as [number, number, number, number, number];
      return { shape: util().slice_util.sliceInfo([...x.shape], integers(begin), integers(end), integers(strides), ...masks).finalShape, dtype: x.dtype };
    },
  ],
  [
    'Concat',
    (inputs, { axis }) => {
      const all = Object.values(inputs);
      const [at] = axesOf(axis, all[0].shape);
      const shapes = all.map(({ shape }) => [...shape]);
      util().backend_util.assertParamsConsistent(shapes, at);
      return { shape: util().backend_util.computeOutShape(shapes, at), dtype: all[0].dtype };
    },
  ],
  [
    'SplitV',
    ({ x }, { numOrSizeSplits, axis }) => {
      const [at] = axesOf(axis, x.shape);
      return util()
        .backend_util.prepareSplitSize(info(x), numOrSizeSplits as number, at)
        .map((extent) => ({ shape: x.shape.map((whole, i) => (i === at ? extent : whole)), dtype: x.dtype }));
    },
  ],
  [
    'Pack',
    (inputs, { axis }) => {
      const all = Object.values(inputs);
      expect(all.every((input) => text(input) === text(all[0])), 'tensors of unequal shapes');
      const [at] = axesOf(axis, [...all[0].shape, 1]);
      return { shape: all[0].shape.toSpliced(at, 0, all.length), dtype: all[0].dtype };
    },
  ],
  [
    'Unpack',
    ({ value }, { axis }) => {
      const [at] = axesOf(axis, value.shape);
      return Array.from({ length: value.shape[at] }, () => ({ shape: value.shape.toSpliced(at, 1), dtype: value.dtype }));
    },
  ],
  [
    'Tile',
    ({ x }, { reps }) => {
      const times = integers(reps);
      expect(times.length === x.shape.length, `${times.length} repetitions of ${text(x)}`);
      return { shape: x.shape.map((extent, i) => extent * times[i]), dtype: x.dtype };
    },
  ],
  [
    'GatherV2',
    ({ x, indices }, { axis, batchDims }) => {
      const [at] = axesOf(axis, x.shape);
      const shared = (batchDims ?? 0) as number;
      expect(Number.isInteger(shared) && shared >= 0 && shared <= at, `batchDims ${shared}`);
      return { shape: [...x.shape.slice(0, at), ...indices.shape.slice(shared), ...x.shape.slice(at + 1)], dtype: x.dtype };
    },
  ],
  ['OneHot', ({ indices }, { depth, dtype }) => ({ shape: [...indices.shape, ...integers([depth])], dtype: typeOf(dtype ?? 'float32') })],
  ['Cast', ({ x }, { dtype }) => ({ shape: x.shape, dtype: typeOf(dtype) })],
  ['Fill', (_, { shape, value, dtype }) => ({ shape: integers(shape), dtype: typeOf(dtype ?? (typeof value === 'number' ? 'float32' : undefined)) })],
  [
    'Range',
    (_, { start, stop, step, dtype }) => {
      const [from, to, by] = [start, stop, step].map(Number);
      return { shape: [by === 0 ? 0 : Math.max(0, Math.ceil((to - from) / by))], dtype: typeOf(dtype ?? 'float32') };
    },
  ],
  ['Select', ({ t }) => t],
  ['UnsortedSegmentSum', ({ x }, { numSegments }) => ({ shape: [...integers([numSegments]), ...x.shape.slice(1)], dtype: x.dtype })],
]);

/** The shapes of Longtail's own operations. */
const OPS: { readonly [Name in keyof Ops]: OpRule } = {
  relu: (x: TensorSpec) => x,
  gelu: (x: TensorSpec) => x,
  swiglu: (gate: TensorSpec, up: TensorSpec) => equal(gate, up),
  linear: (x: TensorSpec, w: TensorSpec, b?: TensorSpec, transposeWeights = false) => {
    const [inner, outputs] = lastTwo(ranked(w, 2), transposeWeights);
    expect(ranked(x, 2).shape[1] === inner && (b === undefined || b.shape[0] === outputs), `${text(x)} by ${text(w)}`);
    return { shape: [x.shape[0], outputs], dtype: 'float32' };
  },
  conv2d: (x: TensorSpec, w: TensorSpec, b: TensorSpec | undefined, stride: number, padding: string) => {
    expect(b === undefined || b.shape[0] === w.shape[3], 'a bias of another width');
    return convolution(false)({ x, filter: w }, { strides: stride, pad: padding }) as TensorSpec;
  },
  maxPool2d: (x: TensorSpec, size: number, stride: number, padding: string) => pooling({ x }, { filterSize: size, strides: stride, pad: padding }) as TensorSpec,
  layerNorm: (x: TensorSpec, gain: TensorSpec, bias: TensorSpec) => scaled(ranked(x, 2), gain, bias),
  rmsNorm: (x: TensorSpec, gain: TensorSpec) => scaled(ranked(x, 2), gain),
  groupNorm: (x: TensorSpec, gain: TensorSpec, bias: TensorSpec, groups: number) => {
    expect(ranked(x, 4).shape[3] % groups === 0, `${groups} groups of ${text(x)}`);
    return scaled(x, gain, bias);
  },
  embedding: (table: TensorSpec, ids: TensorSpec) => ({ shape: [ranked(ids, 1).shape[0], ranked(table, 2).shape[1]], dtype: 'float32' }),
  rotary: (x: TensorSpec) => ranked(x, 4),
  causalAttention: (q: TensorSpec, k: TensorSpec, v: TensorSpec) => equal(equal(ranked(q, 4), k), v),
  selfAttention: (qkv: TensorSpec, heads: number) => {
    const [batch, length, tripled] = ranked(qkv, 3).shape;
    expect(Number.isInteger(tripled / 3 / heads), `${heads} heads of ${text(qkv)}`);
    return { shape: [batch, length, tripled / 3], dtype: 'float32' };
  },
  crossEntropy: (logits: TensorSpec, labels: TensorSpec) => {
    expect(ranked(labels, 1).shape[0] === ranked(logits, 2).shape[0], `labels ${text(labels)} for ${text(logits)}`);
    return { shape: [logits.shape[0]], dtype: 'float32' };
  },
};

export const KERNEL_NAMES: readonly string[] = [...KERNELS.keys()];
export const OP_NAMES = Object.keys(OPS) as readonly (keyof Ops)[];

/** What a kernel gives. Throws LongtailError `invalid-file` for one that is not known, and where something does not fit. */
export function kernelShapes(name: string, inputs: KernelInputs, attributes: Attributes): TensorSpec | readonly TensorSpec[] {
  const rule = KERNELS.get(name);
  if (rule === undefined) throw new LongtailError(`the operation ${name} is not among those that a module may use confined`, { code: 'invalid-file' });
  return explained(name, () => rule(inputs, attributes));
}

/** What one of Longtail's own operations gives; tensors in `args` are TensorSpecs. Throws as `kernelShapes`. */
export function opShape(name: keyof Ops, args: readonly unknown[]): TensorSpec {
  return explained(`ops.${name}`, () => (OPS[name] as (...args: readonly unknown[]) => TensorSpec)(...args));
}

function explained<Outputs extends TensorSpec | readonly TensorSpec[]>(name: string, infer: () => Outputs): Outputs {
  try {
    const outputs = infer();
    ([outputs].flat() as readonly TensorSpec[]).forEach(({ shape }) => expect(shape.every((extent) => Number.isInteger(extent) && extent >= 0) && elementCount(shape) <= MOST_VALUES, `a result [${shape.join(', ')}]`));
    return outputs;
  } catch (error) {
    throw new LongtailError(`${name} cannot take this: ${(error as Error).message}`, { code: 'invalid-file', cause: error });
  }
}

function util(): typeof tfjs {
  return loadTfjs();
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

function only(inputs: KernelInputs): TensorSpec {
  return Object.values(inputs)[0];
}

function equal(a: TensorSpec, b: TensorSpec): TensorSpec {
  expect(text(a) === text(b), `${text(a)} and ${text(b)}`);
  return a;
}

function scaled(x: TensorSpec, ...vectors: readonly TensorSpec[]): TensorSpec {
  const width = x.shape.at(-1);
  expect(vectors.every(({ shape }) => shape.length === 1 && shape[0] === width), `${text(x)} with vectors ${vectors.map(text).join(', ')}`);
  return x;
}

function ranked(x: TensorSpec, rank: number): TensorSpec {
  expect(x.shape.length === rank, `${text(x)}, where ${rank} dimensions are wanted`);
  return x;
}

function rank4(x: TensorSpec): [number, number, number, number] {
  return [...ranked(x, 4).shape] as [number, number, number, number];
}

function lastTwo({ shape }: TensorSpec, transposed: boolean): readonly [number, number] {
  expect(shape.length >= 2, `a matrix [${shape.join(', ')}]`);
  const [rows, columns] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

/** From 0; all where none is given. */
function axesOf(axis: unknown, shape: readonly number[]): readonly number[] {
  const given = axis === undefined || axis === null ? shape.map((_, i) => i) : integers([axis].flat());
  const axes = given.map((at) => (at < 0 ? at + shape.length : at));
  expect(axes.every((at) => at >= 0 && at < shape.length), `axis ${given.join(', ')} of [${shape.join(', ')}]`);
  return axes;
}

function integers(value: unknown): number[] {
  expect(Array.isArray(value) && value.every(Number.isInteger), `${JSON.stringify(value)}, where whole numbers are wanted`);
  return value as number[];
}

function typeOf(dtype: unknown): TensorSpec['dtype'] {
  expect(dtype === 'float32' || dtype === 'int32' || dtype === 'bool', `values of type ${String(dtype)}`);
  return dtype as TensorSpec['dtype'];
}

/** As TF.js's functions want it. */
function info({ shape, dtype }: TensorSpec): tfjs.TensorInfo {
  return { dataId: {}, shape: [...shape], dtype };
}

function text({ shape }: TensorSpec): string {
  return `[${shape.join(', ')}]`;
}
