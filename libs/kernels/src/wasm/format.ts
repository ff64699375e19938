import { assertLength, BYTES_PER_VALUE, type FloatFormat, type FormatKernels } from '../kernels.js';
import { operand, type Workspace } from './workspace.js';

export function wasmFormatKernels(workspace: Workspace): FormatKernels {
  const { wasm } = workspace;
  const accumulators = { fp32: wasm.accumulate, fp16: wasm.accumulateFp16, bf16: wasm.accumulateBf16 };

  return {
    encode(format, values, bytes) {
      assertBytes(bytes, format, values.length);
      if (format === 'fp32') return bytes.set(asBytes(values));
      const convert = format === 'fp16' ? wasm.encodeFp16 : wasm.encodeBf16;
      const operands = [operand(bytes, 'write', BYTES_PER_VALUE[format]), operand(values, 'read')];
      workspace.forEachBlock(values.length, operands, ([out, x], length) => convert(out!, x!, length));
    },

    decode(format, bytes, out) {
      assertBytes(bytes, format, out.length);
      if (format === 'fp32') return asBytes(out).set(bytes);
      const convert = format === 'fp16' ? wasm.decodeFp16 : wasm.decodeBf16;
      const operands = [operand(out, 'write'), operand(bytes, 'read', BYTES_PER_VALUE[format])];
      workspace.forEachBlock(out.length, operands, ([out, halves], length) => convert(out!, halves!, length));
    },

    decodeAccumulate(format, bytes, accumulator, weight) {
      assertBytes(bytes, format, accumulator.length);
      const accumulate = accumulators[format];
      const operands = [operand(accumulator, 'update'), operand(bytes, 'read', BYTES_PER_VALUE[format])];
      workspace.forEachBlock(accumulator.length, operands, ([accumulator, coded], length) => {
        accumulate(accumulator!, coded!, length, weight);
      });
    },
  };
}

function assertBytes(bytes: Uint8Array, format: FloatFormat, values: number): void {
  assertLength(bytes.length, values * BYTES_PER_VALUE[format], 'bytes');
}

function asBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
