// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), without a carry-less multiplication, which WASM lacks.
//
// Long messages are first shortened with XORs alone, after S. Russell, "Chorba: A novel CRC32 implementation"
// (arXiv:2412.16398): adding a multiple of the generator changes no remainder, so with a sparse multiple each word at the
// front can be cancelled by adding it at a few later places. With y = x^128, one SIMD word, the multiple used here is
//   y^209 + y^144 + y^54 + y^39 + y^14 + 1,
// found by meet in the middle; crc32c.test.ts divides it by the generator. Castagnoli's has the factor x + 1, hence an
// even number of terms; with four terms the least degree is above 4,000 words, with six it is this one.

const WORD: usize = 16;
/** Bytes that the multiple spans: what must be kept of the words before. */
const REACH: usize = 209 * WORD;

/** Fills eight tables of 256 × u32: table k holds the remainders of a byte followed by k zero bytes. */
export function crc32cTables(tables: usize): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f63b78 : 0);
    store<u32>(tables + (byte << 2), remainder);
  }
  for (let i: u32 = 256; i < 2048; i++) {
    const shorter = load<u32>(tables + ((i - 256) << 2));
    store<u32>(tables + (i << 2), (shorter >>> 8) ^ load<u32>(tables + ((shorter & 255) << 2)));
  }
}

/**
 * Cancels words from the front on: each of the n / 16 words at `at` takes up what the cancelled words before it add to
 * it. The REACH bytes before `at` hold the words before it as this function left them, zeros before the message's start.
 */
export function crc32cFold(at: usize, n: usize): void {
  const end = at + n;
  while (at < end) {
    const near = v128.xor(v128.load(at - 65 * WORD), v128.load(at - 155 * WORD));
    const far = v128.xor(v128.load(at - 170 * WORD), v128.load(at - 195 * WORD));
    const rest = v128.xor(v128.load(at - 209 * WORD), v128.load(at));
    v128.store(at, v128.xor(v128.xor(near, far), rest));
    at += WORD;
  }
}

/**
 * Undoes the cancelling within the REACH bytes at `at`, the last ones folded: as nothing follows, they stay. What they
 * then hold is a message with the remainder of the whole one.
 */
export function crc32cUnfold(at: usize): void {
  // From the last word to the first, so that each word taken back is still as crc32cFold left it.
  for (let offset = REACH - WORD; offset >= 65 * WORD; offset -= WORD) {
    const word = at + offset;
    let sum = v128.xor(v128.load(word), v128.load(word - 65 * WORD));
    if (offset >= 155 * WORD) sum = v128.xor(sum, v128.load(word - 155 * WORD));
    if (offset >= 170 * WORD) sum = v128.xor(sum, v128.load(word - 170 * WORD));
    if (offset >= 195 * WORD) sum = v128.xor(sum, v128.load(word - 195 * WORD));
    v128.store(word, sum);
  }
}

/** The register after n more bytes, eight at a time (slicing-by-8, Kounavis & Berry 2005). */
export function crc32cUpdate(tables: usize, bytes: usize, n: usize, register: u32): u32 {
  const wide = bytes + (n & ~7);
  const end = bytes + n;
  while (bytes < wide) {
    const low = register ^ load<u32>(bytes);
    const high = load<u32>(bytes, 4);
    register =
      load<u32>(tables + ((low & 255) << 2), 7168) ^
      load<u32>(tables + (((low >>> 8) & 255) << 2), 6144) ^
      load<u32>(tables + (((low >>> 16) & 255) << 2), 5120) ^
      load<u32>(tables + ((low >>> 24) << 2), 4096) ^
      load<u32>(tables + ((high & 255) << 2), 3072) ^
      load<u32>(tables + (((high >>> 8) & 255) << 2), 2048) ^
      load<u32>(tables + (((high >>> 16) & 255) << 2), 1024) ^
      load<u32>(tables + ((high >>> 24) << 2));
    bytes += 8;
  }
  while (bytes < end) {
    register = (register >>> 8) ^ load<u32>(tables + (((register ^ load<u8>(bytes)) & 255) << 2));
    bytes += 1;
  }
  return register;
}
