import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKernels } from './create-kernels.js';

const wasm = createKernels();
const reference = createKernels({ implementation: 'reference' });

function message(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul(i + seed, 2_654_435_761) >>> 23);
}

/** RFC 3720, appendix B.4, and the check value of the Rocksoft catalogue. */
const published: [name: string, bytes: Uint8Array, checksum: number][] = [
  ['nothing', new Uint8Array(0), 0],
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [
    'an iSCSI read command',
    Buffer.from('01c00000000000000000000000000000140000000000040000000014000000182800000000000000' + '0200000000000000', 'hex'),
    0xd9963a56,
  ],
  ['123456789', Buffer.from('123456789'), 0xe3069283],
];

describe.each([wasm, reference])('crc32c ($implementation)', (kernels) => {
  it.each(published)('of %s is as published', (_name, bytes, checksum) => {
    expect(kernels.crc32c(bytes)).toBe(checksum);
  });

  it('continues from the checksum of what came before', () => {
    fc.assert(
      fc.property(fc.nat({ max: 20_000 }), fc.nat({ max: 20_000 }), (length, cut) => {
        const bytes = message(length, 7);
        const first = kernels.crc32c(bytes.subarray(0, cut));
        expect(kernels.crc32c(bytes.subarray(cut), first)).toBe(kernels.crc32c(bytes));
      }),
      { numRuns: 15 },
    );
  });
});

describe('crc32c of long messages', () => {
  it.each([8_191, 8_192, 8_193, 65_535, 65_536, 65_537, 65_536 + 15, 2 * 65_536 + 16, 200_001])(
    'of %i bytes is the reference’s, resident or not',
    (length) => {
      const bytes = message(length, 3);
      const expected = reference.crc32c(bytes);
      expect(wasm.crc32c(bytes)).toBe(expected);
      const words = Math.ceil(length / 4);
      const kernels = createKernels({ vectors: [words] });
      const vector = kernels.allocate(words);
      const resident = new Uint8Array(vector.buffer, vector.byteOffset, length);
      resident.set(bytes);
      expect(kernels.crc32c(resident)).toBe(expected);
      expect(Buffer.compare(resident, bytes)).toBe(0);
    },
  );

  it('changes with any single bit', () => {
    const bytes = message(70_000, 5);
    const whole = wasm.crc32c(bytes);
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 7 }), (at, bit) => {
        const broken = bytes.slice();
        broken[at]! ^= 1 << bit;
        expect(wasm.crc32c(broken)).not.toBe(whole);
      }),
    );
  });

  it('folds by a multiple of the generator', () => {
    const generator = (1n << 32n) | 0x1edc6f41n;
    let remainder = [209n, 144n, 54n, 39n, 14n, 0n].reduce((sum, power) => sum ^ (1n << (128n * power)), 0n);
    for (let degree = 209n * 128n; degree >= 32n; degree--) {
      if ((remainder >> degree) & 1n) remainder ^= generator << (degree - 32n);
    }
    expect(remainder).toBe(0n);
  });
});
