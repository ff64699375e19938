import type { AllocateTensor, Codec, ParameterShard } from '@longtail/core';
import { BufferPools, EncodedTensor, type FillChunk } from './encoded-tensor.js';
import type { Segment } from './segments.js';

/** Parameters as they are sent, a tensor a segment. */
export interface Published {
  readonly version: number;
  readonly kind: 'parameters' | 'difference' | 'fragment' | 'fragment-difference';
  readonly segments: readonly Segment[];
  /** In the order of the segments, from the one with this index on. */
  readonly first: number;
  readonly tensors: readonly EncodedTensor[];
  /** Who has them, has the parameters exactly. */
  readonly exact: boolean;
  /** They are of a line of versions; undefined: of the parameters themselves. */
  readonly line?: Line;
  /** The tensors make the version out of the one before. */
  readonly difference?: {
    /** What they lead to. */
    readonly whole: Published;
    /** The differences that lead here from an older version, in order; undefined where they are not kept any more. */
    since(version: number): readonly Published[] | undefined;
  };
}

/** Versions that follow each other by differences or fragments. The first one is the parameters of its version. */
interface Line {
  readonly startedAt: number;
  /** What follows is added to them: they must be held exactly. */
  readonly exact: boolean;
  version: number;
}

/** How a version differs from the one before. */
export interface Change {
  /** The only segment that it differs in. */
  readonly fragment?: Segment | undefined;
  readonly codec: Codec;
  /** Its tensors are differences, and this is for those who get the view whole; undefined: they are of the parameters. */
  readonly viewCodec: Codec | undefined;
}

/** Codes a chunk of a segment; `offset` counts from the begin of the whole vector. */
export type FillSegment = (span: { readonly offset: number; readonly length: number }, out: Uint8Array, segment: Segment, chunk: number) => number;

/** Chunks worked on before the event loop has a turn. */
export const CHUNKS_A_TURN = 4;
/** One version on its way to slow receivers, one being made. */
const SPARE_BUFFERS = 2;

/** The shard's parameters and moments, coded once a version and sent to whoever needs them. */
export class OutgoingParameters {
  private readonly pool: BufferPools;
  private published: readonly Published[] = [];
  private line: Line | undefined;
  /** What was asked for last, of what was published then: the same for most recipients. */
  private asked: { readonly of: readonly Published[]; readonly line: Line; readonly after: number; readonly upTo: number; readonly kept: readonly Published[] | undefined } | undefined;

  /** `turn` lets sockets have a turn. */
  constructor(
    private readonly turn: () => Promise<void>,
    allocate?: AllocateTensor,
  ) {
    this.pool = new BufferPools(SPARE_BUFFERS, allocate);
  }

  /** The tensors that a version will be sent as; tensors of older versions are sent to nobody new. */
  publish(segments: readonly Segment[], version: number, codec: Codec, fill: FillSegment): Published {
    this.retireBefore(version);
    return this.keep({ version, kind: 'parameters', segments, first: 0, tensors: this.tensors(segments, version, codec, fill), exact: codec.name === 'fp32' });
  }

  /**
   * What leads from the version before to this one, and for those who cannot follow all that it leads to. Where the version
   * before was made by other means, a new line begins at it.
   */
  publishChange(shard: ParameterShard, segments: readonly Segment[], version: number, change: Change, fill: FillSegment): Published {
    const { fragment, codec, viewCodec } = change;
    if (this.line?.version !== version - 1) {
      if (viewCodec !== undefined) shard.resetView();
      this.line = { startedAt: version - 1, exact: viewCodec !== undefined, version: version - 1 };
    }
    const { line } = this;
    line.version = version;
    const changed = fragment === undefined ? segments : [fragment];
    const tensors = this.tensors(changed, version, codec, fill);
    const first = changed[0]!.index;
    const whole = this.wholeOf(line, shard, segments, viewCodec ?? codec, { first, tensors });
    const kind = fragment === undefined ? 'difference' : viewCodec === undefined ? 'fragment' : 'fragment-difference';
    const oldest = this.oldestWorthKeeping(roomOf(whole.tensors) - roomOf(tensors));
    this.retireWhere((one) => one.version < (one.difference === undefined ? version : oldest));
    const since = (older: number) => this.differences(line, older, version);
    return this.keep({ version, kind, segments, first, tensors, exact: false, line, difference: { whole, since } });
  }

  /** Whoever follows is sent differences as long as they take no more than the view whole, `room` besides the latest. */
  private oldestWorthKeeping(room: number): number {
    const kept = this.published.filter(({ difference }) => difference !== undefined).reverse();
    const tooMuch = kept.find(({ tensors }) => (room -= roomOf(tensors)) < 0);
    return tooMuch === undefined ? 0 : tooMuch.version + 1;
  }

  private differences(line: Line, after: number, upTo: number): readonly Published[] | undefined {
    const { asked, published: of } = this;
    if (asked?.of === of && asked.line === line && asked.after === after && asked.upTo === upTo) return asked.kept;
    const found = of.filter((one) => one.difference !== undefined && one.line === line && one.version > after && one.version <= upTo);
    const kept = found.length === upTo - after ? found : undefined;
    this.asked = { of, line, after, upTo, kept };
    return kept;
  }

  /**
   * What followers are to hold at the present version, whole when it resolves: what leads to it where there is anything, else
   * all of it, or parameters for a line to begin at.
   */
  async currentOfLine(shard: ParameterShard, segments: readonly Segment[], version: number, { codec, viewCodec }: Change): Promise<Published> {
    const { line } = this;
    const wholeCodec = viewCodec ?? codec;
    if (line?.version !== version) return this.current(shard, segments, version, wholeCodec);
    const there = this.published.find((one) => one.version === version && one.line === line);
    if (there !== undefined) return there;
    const published = this.keep(this.wholeOf(line, shard, segments, wholeCodec));
    await this.finish(published.tensors);
    return published;
  }

  private wholeOf(
    line: Line,
    shard: ParameterShard,
    segments: readonly Segment[],
    codec: Codec,
    /** The tensors that the version is made with. */
    change?: Pick<Published, 'first' | 'tensors'>,
  ): Published {
    const tensors = this.tensors(segments, line.version, codec, ({ offset, length }, out, segment) => {
      change?.tensors[segment.index - change.first]?.bytes(offset - segment.offset); // a chunk is of this version once what leads to it is coded
      return line.exact ? shard.encodeView(offset, length, codec.id, out) : shard.encodeParameters(offset, length, codec.id, out);
    });
    return { version: line.version, kind: 'parameters', segments, first: 0, tensors, exact: false, line };
  }

  private tensors(segments: readonly Segment[], version: number, codec: Codec, fill: FillSegment): readonly EncodedTensor[] {
    return segments.map((segment) => {
      const fillChunk: FillChunk = ({ offset, length }, out, chunk) => fill({ offset: segment.offset + offset, length }, out, segment, chunk);
      return new EncodedTensor(segment.grid, version, codec.id, codec.maxBytes(segment.grid.chunkLength), fillChunk, this.pool);
    });
  }

  private keep(published: Published): Published {
    this.published = [...this.published, published];
    return published;
  }

  /** Parameters of the shard's present version, coded the first time somebody needs them. Whole when it resolves. */
  async current(shard: ParameterShard, segments: readonly Segment[], version: number, codec: Codec): Promise<Published> {
    const there = this.published.find(
      ({ version: its, segments: cut, exact, line }) => its === version && cut === segments && line === undefined && (exact || codec.name !== 'fp32'),
    );
    if (there !== undefined) return there;
    const published = this.publish(segments, version, codec, ({ offset, length }, out) =>
      shard.encodeParameters(offset, length, codec.id, out),
    );
    await this.finish(published.tensors);
    return published;
  }

  /** The optimizer's moments of the shard's present version, in float32, for a worker of one segment. Whole when it resolves. */
  async moments(shard: ParameterShard, { grid }: Segment, version: number, count: number, codec: Codec): Promise<readonly EncodedTensor[]> {
    const values = new Float32Array(Math.min(grid.chunkLength, grid.length));
    const tensors = Array.from({ length: count }, (_, index) => {
      const fill: FillChunk = ({ offset, length }, out) => {
        const slice = values.subarray(0, length);
        shard.readState(index, slice, offset);
        return codec.encode(slice, out);
      };
      return new EncodedTensor(grid, version, codec.id, codec.maxBytes(grid.chunkLength), fill, this.pool);
    });
    await this.finish(tensors);
    return tensors;
  }

  /** Codes what is not coded yet, with turns for the sockets. */
  async finish(tensors: readonly EncodedTensor[]): Promise<void> {
    for (const tensor of tensors) {
      for (let chunk = 1; !tensor.complete; chunk++) {
        tensor.advance();
        if (chunk % CHUNKS_A_TURN === 0) await this.turn();
      }
    }
  }

  /** Before the shard changes: what somebody began to be sent is of the version that it says. */
  async finishAll(): Promise<void> {
    for (const { tensors, difference } of this.published) {
      await this.finish([...tensors, ...(difference?.whole.tensors ?? [])].filter((tensor) => tensor.wanted));
    }
  }

  /** The segments were cut anew: nothing coded before is sent to anybody new. */
  recut(): void {
    for (const published of this.published) retire(published);
    this.published = [];
    this.pool.clear();
  }

  clear(): void {
    this.published = [];
    this.line = this.asked = undefined;
    this.pool.clear();
  }

  /** Tensors of older versions are sent to nobody new. */
  retireBefore(version: number): void {
    this.retireWhere((published) => published.version < version);
  }

  private retireWhere(isOver: (published: Published) => boolean): void {
    for (const published of this.published.filter(isOver)) retire(published);
    this.published = this.published.filter((published) => !isOver(published));
  }
}

/** Bytes that tensors take at most. */
export function roomOf(tensors: readonly EncodedTensor[]): number {
  return tensors.reduce((sum, { room }) => sum + room, 0);
}

function retire({ tensors, difference }: Published): void {
  for (const tensor of [...tensors, ...(difference?.whole.tensors ?? [])]) tensor.retire();
}
