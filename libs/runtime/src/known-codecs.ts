import { LongtailError, type Codec, type CodecName, type Job } from '@longtail/core';

/** The codecs of this process as a job wants them: `top-k` keeps what the job says. */
export class KnownCodecs {
  private readonly wanted: readonly Codec[];

  constructor(
    codecs: readonly Codec[],
    readonly sync: Job['sync'],
  ) {
    const { topK } = sync;
    this.wanted = topK === undefined ? codecs : codecs.map((codec) => codec.keeping?.(topK) ?? codec);
  }

  named(name: CodecName): Codec {
    for (const codec of this.wanted) if (codec.name === name) return codec;
    return unknown(name);
  }

  numbered(id: number): Codec {
    for (const codec of this.wanted) if (codec.id === id) return codec;
    return unknown(`${id}`);
  }
}

function unknown(codec: string): never {
  throw new LongtailError(`the codec ${codec} is not known here`, { code: 'protocol' });
}
