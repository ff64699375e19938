import { assertLength, bytesOfRow, bytesOfRows, type RowFormat, type RowKernels } from '../kernels.js';
import { operand, type Workspace } from './workspace.js';

export function wasmRowKernels(workspace: Workspace): RowKernels {
  const { wasm } = workspace;
  const encoders = { int8: wasm.encodeInt8Rows, int4: wasm.encodeInt4Rows, int2: wasm.encodeInt2Rows, sign: wasm.encodeSignRows };
  const decoders = { int8: wasm.decodeInt8Rows, int4: wasm.decodeInt4Rows, int2: wasm.decodeInt2Rows, sign: wasm.decodeSignRows };
  const accumulators = {
    int8: wasm.accumulateInt8Rows,
    int4: wasm.accumulateInt4Rows,
    int2: wasm.accumulateInt2Rows,
    sign: wasm.accumulateSignRows,
  };

  return {
    encodeRows(format, values, bytes, rowLength) {
      forEachRun(format, values, bytes, rowLength, (values, bytes, rows, length) => {
        const operands = [operand(bytes, 'write', bytesOfRow(format, length)), operand(values, 'read', 4 * length)];
        workspace.forEachBlock(rows, operands, ([out, x], count) => encoders[format](out!, x!, count, length));
      });
    },

    decodeRows(format, bytes, out, rowLength) {
      forEachRun(format, out, bytes, rowLength, (out, bytes, rows, length) => {
        const operands = [operand(out, 'write', 4 * length), operand(bytes, 'read', bytesOfRow(format, length))];
        workspace.forEachBlock(rows, operands, ([out, coded], count) => decoders[format](out!, coded!, count, length));
      });
    },

    accumulateRows(format, bytes, accumulator, rowLength, weight) {
      forEachRun(format, accumulator, bytes, rowLength, (accumulator, bytes, rows, length) => {
        const operands = [operand(accumulator, 'update', 4 * length), operand(bytes, 'read', bytesOfRow(format, length))];
        workspace.forEachBlock(rows, operands, ([out, coded], count) => accumulators[format](out!, coded!, count, length, weight));
      });
    },
  };
}

/** Visits the whole rows, then the shorter one at the end. */
export function forEachRun(
  format: RowFormat,
  values: Float32Array,
  bytes: Uint8Array,
  rowLength: number,
  visit: (values: Float32Array, bytes: Uint8Array, rows: number, length: number) => void,
): void {
  assertLength(bytes.length, bytesOfRows(format, values.length, rowLength), 'bytes');
  const rows = Math.floor(values.length / rowLength);
  const rest = values.length - rows * rowLength;
  if (rows > 0) visit(values, bytes, rows, rowLength);
  if (rest > 0) visit(values.subarray(rows * rowLength), bytes.subarray(rows * bytesOfRow(format, rowLength)), 1, rest);
}
