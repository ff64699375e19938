import { LongtailError, formatBytes } from '@longtail/core';
import { BLOCK_LENGTH } from '../kernels.js';
import { STATE_TABLE_BYTES } from './state-tables.js';
import { instantiate, type WasmExports } from './wasm-module.js';

const PAGE_BYTES = 65_536;
/** One page short of 4 GiB, so that the end of every vector still is a 32-bit address. */
const MAX_BYTES = 2 ** 32 - PAGE_BYTES;
const CACHE_LINE_BYTES = 64;
const SLOTS = 4;
const SLOT_BYTES = BLOCK_LENGTH * 4;

/** Where things lie: constants of the checksum and of 8-bit state, then the slots, then the vectors. Address 0 stays unused. */
const TABLES_AT = CACHE_LINE_BYTES;
const HISTORY_AT = TABLES_AT + 8 * 1024;
const HISTORY_BYTES = 209 * 16;
const STATE_TABLES_AT = HISTORY_AT + alignUp(HISTORY_BYTES);
const SLOTS_AT = STATE_TABLES_AT + 2 * alignUp(STATE_TABLE_BYTES);
const VECTORS_AT = SLOTS_AT + SLOTS * SLOT_BYTES;

/** Values that vectors of a memory can hold at most, each rounded up to a cache line. */
export const MAX_MEMORY_VALUES = (MAX_BYTES - VECTORS_AT) / 4;

/** An array as a kernel sees it. */
export interface Operand {
  readonly bytes: Uint8Array;
  readonly bytesPerValue: number;
  readonly access: 'read' | 'write' | 'update';
}

const workspaces = new WeakMap<ArrayBufferLike, Workspace>();

/** The one in whose memory an array lies; undefined: it lies elsewhere. */
export function workspaceOf({ buffer }: Float32Array): Workspace | undefined {
  return workspaces.get(buffer);
}

/** Gets one address for each operand and the number of values there. */
export type BlockKernel = (addresses: readonly number[], length: number) => void;

/**
 * The memory of WASM kernels: sized at creation and never grown, so that views of it stay valid; beside the vectors it
 * has room for a block of each operand that lies elsewhere.
 */
export class Workspace {
  readonly wasm: WasmExports;
  readonly heap: Uint8Array;
  readonly tablesAt = TABLES_AT;
  readonly historyAt = HISTORY_AT;
  readonly historyBytes = HISTORY_BYTES;
  /** Follows the history without a gap. */
  readonly afterHistoryAt = HISTORY_AT + HISTORY_BYTES;
  readonly stateTablesAt = STATE_TABLES_AT;
  private readonly buffer: ArrayBuffer;
  private readonly addresses: number[] = [];
  private next = VECTORS_AT;

  constructor(vectors: readonly number[]) {
    const memory = createMemory(vectors.reduce((sum, length) => sum + alignUp(length * 4), VECTORS_AT));
    this.buffer = memory.buffer;
    this.heap = new Uint8Array(memory.buffer);
    this.wasm = instantiate(memory);
    this.wasm.crc32cTables(TABLES_AT);
    workspaces.set(memory.buffer, this);
  }

  /** Zeroed, on a cache line. */
  allocate(length: number): Float32Array {
    const at = this.next;
    const end = at + alignUp(length * 4);
    if (end > this.heap.length) throw new Error(`no room for ${length} values: name every vector in createKernels`);
    this.next = end;
    return new Float32Array(this.buffer, at, length);
  }

  /**
   * Runs `kernel` over `length` values in blocks that fit into a slot (`BLOCK_LENGTH` of float32), copying in and out what
   * lies outside this memory.
   */
  forEachBlock(length: number, operands: readonly Operand[], kernel: BlockKernel): void {
    const { addresses } = this;
    const blockLength = Math.floor(SLOT_BYTES / Math.max(...operands.map(({ bytesPerValue }) => bytesPerValue)));
    for (let start = 0; start < length; start += blockLength) {
      const count = Math.min(blockLength, length - start);
      for (let i = 0; i < operands.length; i++) addresses[i] = this.bring(operands[i]!, i, start, count);
      kernel(addresses, count);
      for (let i = 0; i < operands.length; i++) this.takeBack(operands[i]!, i, start, count);
    }
  }

  slotAt(slot: number): number {
    return SLOTS_AT + slot * SLOT_BYTES;
  }

  /** The address of up to `BLOCK_LENGTH` values: where they are, or copied to the slot. */
  bringValues(values: Float32Array, slot: number): number {
    return this.bring(operand(values, 'update'), slot, 0, values.length);
  }

  /** After `bringValues`: they may have changed. */
  takeValuesBack(values: Float32Array, slot: number): void {
    this.takeBack(operand(values, 'update'), slot, 0, values.length);
  }

  /** Copies bytes to the slot, wherever they are: what reads a little past them meets nothing else. */
  copyIn(bytes: Uint8Array, slot: number): number {
    this.heap.set(bytes, this.slotAt(slot));
    return this.slotAt(slot);
  }

  /** The address of a block of `operand`: where it is, or in the operand's slot. */
  private bring({ bytes, bytesPerValue, access }: Operand, slot: number, start: number, count: number): number {
    if (bytes.buffer === this.buffer) return bytes.byteOffset + start * bytesPerValue;
    const address = this.slotAt(slot);
    if (access !== 'write') this.heap.set(slice(bytes, start * bytesPerValue, count * bytesPerValue), address);
    return address;
  }

  private takeBack({ bytes, bytesPerValue, access }: Operand, slot: number, start: number, count: number): void {
    if (access === 'read' || bytes.buffer === this.buffer) return;
    const address = this.slotAt(slot);
    bytes.set(slice(this.heap, address, count * bytesPerValue), start * bytesPerValue);
  }
}

/** `values` as an operand; of float32 unless told otherwise. */
export function operand(values: Float32Array | Uint8Array, access: Operand['access'], bytesPerValue: number = 4): Operand {
  const bytes = values instanceof Uint8Array ? values : new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { bytes, bytesPerValue, access };
}

/** Bytes rounded up to whole cache lines. */
function alignUp(bytes: number): number {
  return Math.ceil(bytes / CACHE_LINE_BYTES) * CACHE_LINE_BYTES;
}

function slice(bytes: Uint8Array, start: number, length: number): Uint8Array {
  return start === 0 && length === bytes.length ? bytes : bytes.subarray(start, start + length);
}

function createMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  if (bytes > MAX_BYTES) {
    throw new LongtailError(`a kernel memory of ${formatBytes(bytes)} is above WebAssembly's 4 GiB`, {
      code: 'internal',
      hint: 'Split the vector; createShard does so by itself.',
    });
  }
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    throw new LongtailError(`this machine cannot give ${formatBytes(bytes)} for parameters and optimizer state`, {
      code: 'internal',
      hint: 'Free memory, choose a smaller model, or an optimizer with less state.',
      cause,
    });
  }
}
