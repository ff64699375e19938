import type { TFJSBinding } from '@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js';

/** The native functions below TF.js: ops, tensors and graphs by number. */
export type Binding = TFJSBinding;

/** A tensor of TensorFlow's that TF.js knows nothing of; freed by hand. */
export class NativeTensor {
  private alive = true;

  constructor(
    private readonly binding: Binding,
    readonly id: number,
  ) {}

  /** The tensor may alias `values` until it is disposed of: they must not change while it is in use. */
  static from(binding: Binding, dtype: number, shape: readonly number[], values: Float32Array | Int32Array | Uint8Array): NativeTensor {
    return new NativeTensor(binding, binding.createTensor(shape as number[], dtype, values));
  }

  /** A copy of the values. */
  read(): Float32Array | Int32Array | Uint8Array {
    return this.binding.tensorDataSync(this.id);
  }

  dispose(): void {
    if (this.alive) this.binding.deleteTensor(this.id);
    this.alive = false;
  }
}

/** Reads a tensor and frees it. */
export function take(tensor: NativeTensor): Float32Array | Int32Array | Uint8Array {
  try {
    return tensor.read();
  } finally {
    tensor.dispose();
  }
}

/** Runs `use` with tensors that are freed afterwards, whatever happens. */
export function using<Tensors extends Readonly<Record<string, NativeTensor>>, Result>(
  tensors: Tensors,
  use: (tensors: Tensors) => Result,
): Result {
  try {
    return use(tensors);
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}
