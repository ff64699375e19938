import { LongtailError, type Codec, type CodecName, type Job } from '@longtail/core';

/** The codecs of this process as a job wants them: `top-k` keeps what the job says. */
export class KnownCodecs {
  private readonly byName: ReadonlyMap<string, Codec>;
  private readonly byNumber: ReadonlyMap<number, Codec>;

  constructor(
    codecs: readonly Codec[],
    readonly sync: Job['sync'],
  ) {
    const { topK } = sync;
    const wanted = topK === undefined ? codecs : codecs.map((codec) => codec.keeping?.(topK) ?? codec);
    this.byName = new Map(wanted.map((codec) => [codec.name, codec]));
    this.byNumber = new Map(wanted.map((codec) => [codec.id, codec]));
  }

  named(name: CodecName): Codec {
    return this.byName.get(name) ?? unknown(name);
  }

  numbered(id: number): Codec {
    return this.byNumber.get(id) ?? unknown(`${id}`);
  }
}

function unknown(codec: string): never {
  throw new LongtailError(`the codec ${codec} is not known here`, { code: 'protocol' });
}
