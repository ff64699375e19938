import { floats, free, withView } from './heap.js';
import type { KernelCall, TensorInfo, WasmBackend, WasmKernels } from './heap.js';

interface MatMulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

type MatMulCall = KernelCall<'a' | 'b', MatMulAttributes>;

/**
 * The backend multiplies by XNNPACK only when neither side is transposed and there is no batch, else by plain loops.
 * Transposing first and multiplying the batch one by one keeps XNNPACK at work.
 */
export function registerMatMul(kernels: WasmKernels): void {
  const original = kernels.kernel<'a' | 'b', MatMulAttributes>('BatchMatMul');
  const transpose = kernels.kernel<'x', { perm: number[] }>('Transpose');

  kernels.register('BatchMatMul', (call: MatMulCall) => {
    const { inputs, attrs, backend } = call;
    const batch = leading(inputs.a);
    const plain = batch === 1 && !attrs.transposeA && !attrs.transposeB;
    // Broadcasting over the batch is left to the backend: no model of ours does it.
    if (plain || batch !== leading(inputs.b) || inputs.a.shape.length !== inputs.b.shape.length) return original(call);
    const temporary: TensorInfo[] = [];
    const transposed = (x: TensorInfo): TensorInfo => {
      const rank = x.shape.length;
      const perm = [...Array(rank - 2).keys(), rank - 1, rank - 2];
      const y = transpose({ inputs: { x }, attrs: { perm }, backend });
      temporary.push(y);
      return y;
    };
    const a = attrs.transposeA ? transposed(inputs.a) : inputs.a;
    const b = attrs.transposeB ? transposed(inputs.b) : inputs.b;
    const multiply = (x: TensorInfo, y: TensorInfo): TensorInfo => original({ inputs: { a: x, b: y }, attrs: { transposeA: false, transposeB: false }, backend });
    const product = batch === 1 ? multiply(a, b) : oneByOne(backend, a, b, batch, multiply);
    free(backend, temporary);
    return product;
  });
}

function leading({ shape }: TensorInfo): number {
  return shape.slice(0, -2).reduce((product, extent) => product * extent, 1);
}

function oneByOne(backend: WasmBackend, a: TensorInfo, b: TensorInfo, batch: number, multiply: (x: TensorInfo, y: TensorInfo) => TensorInfo): TensorInfo {
  const [rows, inner] = a.shape.slice(-2);
  const columns = b.shape[b.shape.length - 1];
  const out = backend.makeOutput([...a.shape.slice(0, -2), rows, columns], 'float32');
  for (let i = 0; i < batch; i++) {
    const part = withView(backend, a, i * rows * inner, [1, rows, inner], (x) => withView(backend, b, i * inner * columns, [1, inner, columns], (y) => multiply(x, y)));
    floats(backend, out).set(floats(backend, part), i * rows * columns);
    free(backend, [part]);
  }
  return out;
}
