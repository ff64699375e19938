import { hasErrorFeedback, type CodecName, type CodingTime } from '@longtail/core';
import { CODEC_IDS, createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import { createErrorFeedback } from './error-feedback.js';

/** Values of a chunk, as the server's. */
const LENGTH = 262_144;
/** The fastest of so many counts: the others met somebody else's work. */
const TIMES = 5;

/** What `measureCoding` found on one core of an AMD EPYC (2026-11-26): for machines that are only described. */
export const USUAL_CODING: Readonly<Record<CodecName, CodingTime>> = {
  fp32: { encodeMs: 0.1, decodeMs: 0.54 },
  fp16: { encodeMs: 0.66, decodeMs: 0.55 },
  bf16: { encodeMs: 0.4, decodeMs: 0.39 },
  int8: { encodeMs: 0.91, decodeMs: 0.43 },
  int4: { encodeMs: 0.95, decodeMs: 0.48 },
  int2: { encodeMs: 2, decodeMs: 0.66 },
  sign: { encodeMs: 1.2, decodeMs: 0.46 },
  'top-k': { encodeMs: 3.2, decodeMs: 0.46 },
};

/** What coding takes this machine's core, with error feedback where the codec has it; some 70 ms. `nowMs`: of any clock that is fine enough for a millisecond's tenth. */
export function measureCoding(nowMs: () => number): Readonly<Record<CodecName, CodingTime>> {
  const kernels = createKernels();
  // Unequal in sign and magnitude; what they are hardly matters to any codec's time.
  const values = Float32Array.from({ length: LENGTH }, (_, i) => Math.sin(i) * Math.cos(i / 7));
  const out = new Float32Array(LENGTH);
  const fastest = (work: () => void): number => {
    let least = Infinity;
    for (let i = 0; i < TIMES; i++) {
      const fromMs = nowMs();
      work();
      least = Math.min(least, nowMs() - fromMs);
    }
    return (least / LENGTH) * 1e6;
  };
  const timeOf = (name: CodecName): CodingTime => {
    const codec = createCodec(name, kernels);
    const room = new Uint8Array(codec.maxBytes(LENGTH));
    const feedback = hasErrorFeedback(name) ? createErrorFeedback({ length: LENGTH }) : undefined;
    const encode = (): number => feedback?.encode(name, values, 0, room) ?? codec.encode(values, room);
    const coded = room.subarray(0, encode());
    return { encodeMs: fastest(encode), decodeMs: fastest(() => codec.decodeAccumulate(coded, out, 1)) };
  };
  return Object.fromEntries((Object.keys(CODEC_IDS) as CodecName[]).map((name) => [name, timeOf(name)])) as Record<CodecName, CodingTime>;
}
