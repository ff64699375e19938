import { LongtailError } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { loadTfjs } from '../eager/tfjs.js';
import type { Ops } from '../ops.js';
import type { Argument, Step } from './program.js';
import type { Data } from './batch-dependent.js';
import { KERNEL_NAMES, kernelShapes, OP_NAMES, opShape, type Attributes, type TensorSpec } from './shape-rules.js';

const BACKEND = 'longtail-shapes';
/** Between a block's code and a kernel lie some of TF.js's own. */
const FRAMES = 40;
const TRUSTED_HINT = 'A worker that joined with --allow-code=trusted runs the module as it is.';

/** What a recorded body did, and which value it gave. */
export interface Recording {
  readonly steps: readonly Step[];
  readonly output: number;
  readonly shape: number[];
  readonly dtype: tfjs.DataType;
}

/**
 * Runs `body` with tensors that have shapes only, and writes down what it does with them. `lineOf` finds the line of the
 * module in a stack. Throws LongtailError `invalid-file` for what only values could tell, and for operations that are not known.
 */
export function record(
  inputs: readonly TensorSpec[],
  lineOf: (stack: string) => number | undefined,
  body: (context: { tf: typeof tfjs; ops: Ops }, tensors: readonly tfjs.Tensor[]) => tfjs.Tensor,
): Recording {
  const tf = loadTfjs();
  const recorder = new Recorder(tf, lineOf);
  const restore = enter(tf, recorder);
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = FRAMES;
  try {
    const tensors = inputs.map((spec) => recorder.tensor(spec));
    const result = tf.tidy(() => tf.keep(body({ tf, ops: recorder.ops() }, tensors)));
    return { steps: recorder.steps, output: recorder.valueOf(result), shape: result.shape, dtype: result.dtype };
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    restore();
  }
}

let active: Recorder | undefined;

/** Makes a recorder what TF.js computes with, until the function that it returns is called. */
function enter(tf: typeof tfjs, recorder: Recorder): () => void {
  if (tf.findBackendFactory(BACKEND) === null) register(tf);
  const engine = tf.engine();
  const { customGrad, gradients, backendName: before } = engine;
  const refuse = (): never => {
    throw new LongtailError("a gradient of the module's own (tf.customGrad, and what of TF.js uses it) does not run confined", { code: 'invalid-file', hint: TRUSTED_HINT });
  };
  active = recorder;
  // Backends that are ready are set at once.
  void tf.setBackend(BACKEND);
  Object.assign(engine, { customGrad: refuse, gradients: refuse });
  return () => {
    active = undefined;
    Object.assign(engine, { customGrad, gradients });
    if (before !== undefined && before !== '') void tf.setBackend(before);
  };
}

function register(tf: typeof tfjs): void {
  const forward = (name: string): tfjs.KernelFunc => ({ inputs, attrs }) => active!.kernel(name, inputs as Inputs, (attrs ?? {}) as Attributes);
  for (const kernelName of KERNEL_NAMES) tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc: forward(kernelName) });
  tf.registerBackend(BACKEND, () => new (shapesBackend(tf))(), 0);
}

type Inputs = Readonly<Record<string, tfjs.TensorInfo>> | readonly tfjs.TensorInfo[];

function shapesBackend(tf: typeof tfjs): new () => tfjs.KernelBackend {
  return class ShapesBackend extends tf.KernelBackend {
    override write(values: unknown, shape: number[], dtype: tfjs.DataType): object {
      return active!.constant(values, shape, dtype);
    }

    override readSync(): never {
      throw new LongtailError('a block reads the values of a tensor', { code: 'invalid-file', hint: 'What a block does may depend on shapes, not on values.' });
    }

    override async read(): Promise<never> {
      return this.readSync();
    }

    override numDataIds = (): number => 0;
    override refCount = (): number => 1;
    override incRef(): void {}
    override disposeData = (): boolean => true;
    override floatPrecision = (): 32 => 32;
    override epsilon = (): number => 1e-7;
    override dispose(): void {}
  };
}

class Recorder {
  readonly steps: Step[] = [];
  private readonly values = new Map<object, number>();

  constructor(
    private readonly tf: typeof tfjs,
    private readonly lineOf: (stack: string) => number | undefined,
  ) {}

  tensor(spec: TensorSpec): tfjs.Tensor {
    return this.tf.engine().makeTensorFromTensorInfo(this.next(spec));
  }

  valueOf({ dataId }: tfjs.TensorInfo): number {
    const value = this.values.get(dataId);
    if (value === undefined) throw new LongtailError('a block uses a tensor that was not made in its apply', { code: 'invalid-file', hint: 'Make constants where they are used.' });
    return value;
  }

  constant(values: unknown, shape: readonly number[], dtype: string): object {
    if (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'bool') throw new LongtailError(`a constant of type ${dtype} does not run confined`, { code: 'invalid-file', hint: TRUSTED_HINT });
    const typed = dtype === 'float32' ? Float32Array.from(values as number[]) : dtype === 'int32' ? Int32Array.from(values as number[]) : Uint8Array.from(values as number[]);
    const uniform = shape.length > 0 && typed.length > 0 && typed.every((value) => Object.is(value, typed[0]));
    if (uniform) this.add({ call: 'kernel', name: 'Fill', inputs: {}, attributes: { shape, value: typed[0], dtype } as Data, outputs: 1 });
    else this.add({ call: 'constant', dtype, shape: [...shape], values: Buffer.from(typed.buffer).toString('base64') });
    return this.next({ shape, dtype }).dataId;
  }

  kernel(name: string, inputs: Inputs, attributes: Attributes): tfjs.TensorInfo | tfjs.TensorInfo[] {
    const outputs = kernelShapes(name, mapInputs(inputs, specOf) as Record<string, TensorSpec>, attributes);
    this.add({ call: 'kernel', name, inputs: mapInputs(inputs, (input) => this.valueOf(input)), attributes: attributes as Data, outputs: isList(outputs) ? outputs.length : 1 });
    return isList(outputs) ? outputs.map((output) => this.next(output)) : this.next(outputs);
  }

  ops(): Ops {
    return Object.fromEntries(OP_NAMES.map((name) => [name, (...args: readonly unknown[]) => this.op(name, args)])) as unknown as Ops;
  }

  private op(name: keyof Ops, args: readonly unknown[]): tfjs.Tensor {
    const isTensor = (arg: unknown): arg is tfjs.Tensor => arg instanceof this.tf.Tensor;
    const shape = opShape(name, args.map((arg) => (isTensor(arg) ? specOf(arg) : arg)));
    this.add({ call: 'op', name, args: args.map((arg): Argument => (isTensor(arg) ? { tensor: this.valueOf(arg) } : ((arg ?? null) as Argument))) });
    return this.tensor(shape);
  }

  private add(step: Step): void {
    const line = this.lineOf(new Error().stack ?? '');
    this.steps.push(line === undefined ? step : { ...step, line });
  }

  private next({ shape, dtype }: TensorSpec): tfjs.TensorInfo {
    const dataId = {};
    this.values.set(dataId, this.values.size);
    return { dataId, shape: [...shape], dtype };
  }
}

function isList(outputs: TensorSpec | readonly TensorSpec[]): outputs is readonly TensorSpec[] {
  return Array.isArray(outputs);
}

function mapInputs<T>(inputs: Inputs, f: (input: tfjs.TensorInfo) => T): Record<string, T> | T[] {
  if (Array.isArray(inputs)) return (inputs as readonly tfjs.TensorInfo[]).map(f);
  return Object.fromEntries(Object.entries(inputs).flatMap(([name, input]) => ((input as unknown) == null ? [] : [[name, f(input)]])));
}

function specOf({ shape, dtype }: tfjs.TensorInfo): TensorSpec {
  return { shape, dtype: dtype as TensorSpec['dtype'] };
}
