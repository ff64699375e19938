import { WASM_BASE64 } from '../generated/wasm.js';

type Address = number;

/** What assembly/index.ts exports. Addresses are in bytes, lengths in values unless the name says bytes. */
export interface WasmExports {
  scaleInto(out: Address, x: Address, length: number, factor: number): void;
  accumulate(accumulator: Address, x: Address, length: number, weight: number): void;
  subtract(out: Address, a: Address, b: Address, length: number): void;
  dot(a: Address, b: Address, length: number): number;
  sumOfSquares(x: Address, length: number): number;
  sgd(p: Address, g: Address, length: number, scale: number, learningRate: number, weightDecay: number): void;
  sgdMomentum(
    p: Address,
    g: Address,
    buffer: Address,
    length: number,
    scale: number,
    learningRate: number,
    weightDecay: number,
    momentum: number,
    direct: number,
    carried: number,
  ): void;
  adam(
    p: Address,
    g: Address,
    m: Address,
    v: Address,
    length: number,
    scale: number,
    l2: number,
    keep: number,
    oneMinusBeta1: number,
    beta2: number,
    oneMinusBeta2: number,
    stepSize: number,
    rootScale: number,
    epsilon: number,
  ): void;
  encodeFp16(out: Address, x: Address, length: number): void;
  encodeBf16(out: Address, x: Address, length: number): void;
  decodeFp16(out: Address, halves: Address, length: number): void;
  decodeBf16(out: Address, halves: Address, length: number): void;
  accumulateFp16(accumulator: Address, halves: Address, length: number, weight: number): void;
  accumulateBf16(accumulator: Address, halves: Address, length: number, weight: number): void;
  encodeInt8Rows(out: Address, x: Address, rows: number, length: number): void;
  encodeInt4Rows(out: Address, x: Address, rows: number, length: number): void;
  encodeInt2Rows(out: Address, x: Address, rows: number, length: number): void;
  encodeSignRows(out: Address, x: Address, rows: number, length: number): void;
  decodeInt8Rows(out: Address, coded: Address, rows: number, length: number): void;
  decodeInt4Rows(out: Address, coded: Address, rows: number, length: number): void;
  decodeInt2Rows(out: Address, coded: Address, rows: number, length: number): void;
  decodeSignRows(out: Address, coded: Address, rows: number, length: number): void;
  accumulateInt8Rows(accumulator: Address, coded: Address, rows: number, length: number, weight: number): void;
  accumulateInt4Rows(accumulator: Address, coded: Address, rows: number, length: number, weight: number): void;
  accumulateInt2Rows(accumulator: Address, coded: Address, rows: number, length: number, weight: number): void;
  accumulateSignRows(accumulator: Address, coded: Address, rows: number, length: number, weight: number): void;
  encodeSparse(out: Address, x: Address, length: number, format: number, keep: number, least: number, most: number, scratch: Address): number;
  magnitudeOfRank(x: Address, length: number, k: number): number;
  decodeSparse(out: Address, coded: Address, length: number): number;
  accumulateSparse(accumulator: Address, coded: Address, length: number, weight: number): number;
  encodeState(out: Address, x: Address, blocks: number, length: number, tables: Address, zero: number, leastOfPositive: number): void;
  decodeState(out: Address, coded: Address, blocks: number, length: number, tables: Address): void;
  crc32cTables(tables: Address): void;
  crc32cFold(at: Address, bytes: number): void;
  crc32cUnfold(at: Address): void;
  crc32cUpdate(tables: Address, at: Address, bytes: number, register: number): number;
}

let compiled: WebAssembly.Module | undefined;

/** A new instance over `memory`. The module is compiled once in a process (or worker thread), at first use. */
export function instantiate(memory: WebAssembly.Memory): WasmExports {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(WASM_BASE64), (character) => character.charCodeAt(0)));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as WasmExports;
}
