import type { ChecksumKernels } from '../kernels.js';

/** Bit by bit, as RFC 3720 defines it. */
export const referenceChecksumKernels: ChecksumKernels = {
  crc32c(bytes, previous = 0) {
    let register = ~previous;
    for (const byte of bytes) {
      register ^= byte;
      for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0x82f63b78 : 0);
    }
    return ~register >>> 0;
  },
};
