import { BLOCK_LENGTH, type SparseKernels } from '../kernels.js';
import { SPARSE_BLOCK, SPARSE_FORMATS, sliceSparse } from '../sparse.js';
import type { Workspace } from './workspace.js';

const VALUES = 0;
const CODED = 1;
const SCRATCH = 2;

export function wasmSparseKernels(workspace: Workspace): SparseKernels {
  const { wasm } = workspace;

  /** Visits blocks of `values` with their bytes of an encoding of all of them; stops at the first broken one. */
  function forEachBlock(bytes: Uint8Array, values: Float32Array, visit: (at: number, length: number, coded: number) => number): number {
    for (let start = 0; start < values.length; start += BLOCK_LENGTH) {
      const part = values.subarray(start, start + BLOCK_LENGTH);
      const coded = workspace.copyIn(sliceSparse(bytes, values.length, start, part.length), CODED);
      const at = workspace.bringValues(part, VALUES);
      const broken = visit(at, part.length, coded);
      workspace.takeValuesBack(part, VALUES);
      if (broken > 0) return start / SPARSE_BLOCK + broken - 1;
    }
    return -1;
  }

  return {
    encodeSparse(format, values, bytes, { keep, threshold, most }) {
      const least = bitsOf(threshold);
      let written = 0;
      for (let start = 0; start < values.length; start += BLOCK_LENGTH) {
        const part = values.subarray(start, start + BLOCK_LENGTH);
        const out = workspace.slotAt(CODED);
        const at = workspace.bringValues(part, VALUES);
        const size = wasm.encodeSparse(out, at, part.length, SPARSE_FORMATS.indexOf(format), keep, least, most, workspace.slotAt(SCRATCH));
        if (size < 0) return -1;
        bytes.set(workspace.heap.subarray(out, out + size), written);
        written += size;
      }
      return written;
    },

    magnitudeOfRank(values, k) {
      return floatOf(wasm.magnitudeOfRank(workspace.bringValues(values, VALUES), values.length, k));
    },

    decodeSparse: (bytes, out) => forEachBlock(bytes, out, (at, length, coded) => wasm.decodeSparse(at, coded, length)),

    accumulateSparse: (bytes, accumulator, weight) =>
      forEachBlock(bytes, accumulator, (at, length, coded) => wasm.accumulateSparse(at, coded, length, weight)),
  };
}

function bitsOf(x: number): number {
  return new Int32Array(Float32Array.of(x).buffer)[0]!;
}

function floatOf(bits: number): number {
  return new Float32Array(Int32Array.of(bits).buffer)[0]!;
}
