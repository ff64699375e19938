import { BLOCK_LENGTH, type ChecksumKernels } from '../kernels.js';
import type { Workspace } from './workspace.js';

const WORD_BYTES = 16;
const BLOCK_BYTES = BLOCK_LENGTH * 4;

/** Below this many bytes the table is as fast as folding and then finishing with the table. */
const FOLDING_PAYS_BYTES = 8_192;

export function wasmChecksumKernels(workspace: Workspace): ChecksumKernels {
  const { wasm, heap, tablesAt, historyAt, historyBytes, afterHistoryAt } = workspace;

  function crc32cShort(bytes: Uint8Array, register: number): number {
    heap.set(bytes, afterHistoryAt);
    return wasm.crc32cUpdate(tablesAt, afterHistoryAt, bytes.length, register);
  }

  /** Copies and folds block by block; before each block stands the history that assembly/crc32c.ts asks for. */
  function crc32cLong(bytes: Uint8Array, register: number): number {
    heap.fill(0, historyAt, afterHistoryAt);
    let rest = 0;
    for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
      const block = bytes.subarray(start, start + BLOCK_BYTES);
      heap.set(block, afterHistoryAt);
      if (start === 0) addRegister(register);
      rest = block.length % WORD_BYTES;
      const folded = block.length - rest;
      wasm.crc32cFold(afterHistoryAt, folded);
      heap.copyWithin(historyAt, historyAt + folded, afterHistoryAt + block.length);
    }
    wasm.crc32cUnfold(historyAt);
    return wasm.crc32cUpdate(tablesAt, historyAt, historyBytes + rest, 0);
  }

  /** Starting from a register is the same as adding it to the first four bytes. */
  function addRegister(register: number): void {
    for (let i = 0; i < 4; i++) heap[afterHistoryAt + i]! ^= register >>> (8 * i);
  }

  return {
    crc32c(bytes, previous = 0) {
      const register = bytes.length < FOLDING_PAYS_BYTES ? crc32cShort(bytes, ~previous) : crc32cLong(bytes, ~previous);
      return ~register >>> 0;
    },
  };
}
