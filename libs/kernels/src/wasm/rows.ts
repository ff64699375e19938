import { assertLength, bytesOfRows, SCALE_BYTES, type RowKernels } from '../kernels.js';
import { operand, type Workspace } from './workspace.js';

export function wasmRowKernels(workspace: Workspace): RowKernels {
  const { wasm } = workspace;
  return {
    encodeRows(values, bytes, rowLength) {
      assertLength(bytes.length, bytesOfRows(values.length, rowLength), 'bytes');
      forEachRun(values, bytes, rowLength, (values, bytes, rows, length) => {
        const operands = [operand(bytes, 'write', SCALE_BYTES + length), operand(values, 'read', 4 * length)];
        workspace.forEachBlock(rows, operands, ([out, x], count) => wasm.encodeRows(out!, x!, count, length));
      });
    },

    decodeRows(bytes, out, rowLength) {
      assertLength(bytes.length, bytesOfRows(out.length, rowLength), 'bytes');
      forEachRun(out, bytes, rowLength, (out, bytes, rows, length) => {
        const operands = [operand(out, 'write', 4 * length), operand(bytes, 'read', SCALE_BYTES + length)];
        workspace.forEachBlock(rows, operands, ([out, coded], count) => wasm.decodeRows(out!, coded!, count, length));
      });
    },
  };
}

/** Visits the whole rows, then the shorter one at the end; `bytes` has a scale and a byte a value for each. */
export function forEachRun(
  values: Float32Array,
  bytes: Uint8Array,
  rowLength: number,
  visit: (values: Float32Array, bytes: Uint8Array, rows: number, length: number) => void,
): void {
  const rows = Math.floor(values.length / rowLength);
  const rest = values.length - rows * rowLength;
  if (rows > 0) visit(values, bytes, rows, rowLength);
  if (rest > 0) visit(values.subarray(rows * rowLength), bytes.subarray(rows * (SCALE_BYTES + rowLength)), 1, rest);
}
