import { assertLength, type VectorKernels } from '../kernels.js';
import { operand, workspaceOf, type Workspace } from './workspace.js';

export function wasmVectorKernels(workspace: Workspace): VectorKernels {
  const { wasm } = workspace;

  function dot(a: Float32Array, b: Float32Array): number {
    assertLength(b.length, a.length, 'b');
    let sum = 0;
    if (a === b) {
      const home = workspaceOf(a) ?? workspace;
      home.forEachBlock(a.length, [operand(a, 'read')], ([a], length) => {
        sum += home.wasm.sumOfSquares(a!, length);
      });
      return sum;
    }
    workspace.forEachBlock(a.length, [operand(a, 'read'), operand(b, 'read')], ([a, b], length) => {
      sum += wasm.dot(a!, b!, length);
    });
    return sum;
  }

  function accumulate(accumulator: Float32Array, x: Float32Array, weight: number): void {
    assertLength(x.length, accumulator.length, 'x');
    const operands = [operand(accumulator, 'update'), operand(x, 'read')];
    workspace.forEachBlock(x.length, operands, ([accumulator, x], length) => {
      wasm.accumulate(accumulator!, x!, length, weight);
    });
  }

  return {
    dot,
    accumulate,

    sumInto(out, inputs) {
      for (const input of inputs) assertLength(input.length, out.length, 'input');
      const [first, ...others] = inputs;
      if (first === undefined) out.fill(0);
      else if (first !== out) out.set(first);
      for (const other of others) accumulate(out, other, 1);
    },

    scale(x, factor) {
      workspace.forEachBlock(x.length, [operand(x, 'update')], ([x], length) => {
        wasm.scaleInto(x!, x!, length, factor);
      });
    },

    subtract(out, a, b) {
      assertLength(a.length, out.length, 'a');
      assertLength(b.length, out.length, 'b');
      const operands = [operand(out, 'write'), operand(a, 'read'), operand(b, 'read')];
      workspace.forEachBlock(out.length, operands, ([out, a, b], length) => {
        wasm.subtract(out!, a!, b!, length);
      });
    },

    inspect(x) {
      // The square of a finite float32 is far from float64's limits: the sum is finite just when all values are.
      const sumOfSquares = dot(x, x);
      return { finite: Number.isFinite(sumOfSquares), sumOfSquares };
    },
  };
}
