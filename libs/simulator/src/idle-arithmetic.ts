import type { ChunkInspection, Codec, CodecName, FeedbackEncoder, ParameterShard, StateVector, TopKSpec } from '@longtail/core';
import { referenceArithmetic, type Arithmetic } from './arithmetic.js';

/**
 * Computes nothing: all values are 0, whatever comes, and take as many bytes as coded zeros do. For a scenario in which only times
 * count. Float32 stays as it is, as the workers of a pipeline tell each other in it what they did.
 */
export const idleArithmetic: Arithmetic = {
  codecs: referenceArithmetic.codecs.map((codec) => (codec.name === 'fp32' ? codec : idle(codec))),
  createFeedback: (_length, topK) => new IdleFeedback(topK),
  createShard: (length) => new IdleShard(length),
  createOptimizer: () => ({ step: () => undefined, state: () => [], steps: 0, setSteps: () => undefined }),
};

function idle(codec: Codec): Codec {
  /** Zeros, coded, by how many they are. */
  const known = new Map<number, Uint8Array>();
  const bytesIn = ({ length }: Float32Array): Uint8Array => {
    let bytes = known.get(length);
    if (bytes === undefined) {
      const room = new Uint8Array(codec.maxBytes(length));
      known.set(length, (bytes = room.subarray(0, codec.encode(new Float32Array(length), room))));
    }
    return bytes;
  };
  return {
    id: codec.id,
    name: codec.name,
    maxBytes: (length, rowLength) => codec.maxBytes(length, rowLength),
    encode: (values, out, rowLength) => (rowLength === undefined ? bytesIn(values).length : codec.encode(new Float32Array(values.length), out, rowLength)),
    bytesIn,
    decode: () => undefined,
    keeping: codec.keeping && ((topK) => idle(codec.keeping!(topK))),
  };
}

class IdleFeedback implements FeedbackEncoder {
  /** The latest. */
  private codec: Codec | undefined;

  constructor(private readonly topK: TopKSpec) {}

  encode(name: CodecName, values: Float32Array, _offset: number, out: Uint8Array): number {
    return this.named(name).encode(values, out);
  }

  bytesIn(name: CodecName, values: Float32Array): Uint8Array {
    return this.named(name).bytesIn!(values);
  }

  settle(): void {}

  private named(name: CodecName): Codec {
    if (this.codec?.name !== name) {
      const codec = idleArithmetic.codecs.find((one) => one.name === name)!;
      this.codec = codec.keeping?.(this.topK) ?? codec;
    }
    return this.codec;
  }
}

const FINE: ChunkInspection = { finite: true, sumOfSquares: 0 };

class IdleShard implements ParameterShard {
  steps = 0;

  constructor(readonly length: number) {}

  inspect(): ChunkInspection {
    return FINE;
  }
  inspectSum(): ChunkInspection {
    return FINE;
  }
  encodeSum(_offset: number, length: number, _contributions: unknown, out: Uint8Array): number {
    return coded('fp32', length, out);
  }
  beginStep(): void {
    this.steps++;
  }
  stepChunk(): number {
    return 0;
  }
  encodeParameters(_offset: number, length: number, codecId: number, out: Uint8Array): number {
    return idleArithmetic.codecs.find(({ id }) => id === codecId)!.encode(zeros(length), out);
  }
  resetView(): void {}
  encodeDifference(_offset: number, length: number, name: CodecName, out: Uint8Array): number {
    return coded(name, length, out);
  }
  encodeView(offset: number, length: number, codecId: number, out: Uint8Array): number {
    return this.encodeParameters(offset, length, codecId, out);
  }
  checksum(): number {
    return 0;
  }
  readParameters(out: Float32Array): void {
    out.fill(0);
  }
  writeParameters(): void {}
  readState(_index: number, out: StateVector): void {
    out.fill(0);
  }
  writeState(): void {}
  setSteps(steps: number): void {
    this.steps = steps;
  }
}

function coded(name: CodecName, length: number, out: Uint8Array): number {
  return idleArithmetic.codecs.find((codec) => codec.name === name)!.encode(zeros(length), out);
}

function zeros(length: number): Float32Array {
  return new Float32Array(length);
}
