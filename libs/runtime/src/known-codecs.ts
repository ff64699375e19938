import { LongtailError, type Codec, type CodecName, type Job } from '@longtail/core';

/** The codecs of this process as a job wants them: `top-k` keeps what the job says. */
export class KnownCodecs {
  constructor(
    private readonly codecs: readonly Codec[],
    private readonly sync: Job['sync'],
  ) {}

  named(name: CodecName): Codec {
    return this.where((codec) => codec.name === name, name);
  }

  numbered(id: number): Codec {
    return this.where((codec) => codec.id === id, `${id}`);
  }

  private where(matches: (codec: Codec) => boolean, what: string): Codec {
    const codec = this.codecs.find(matches);
    if (codec === undefined) throw new LongtailError(`the codec ${what} is not known here`, { code: 'protocol' });
    const { topK } = this.sync;
    return topK === undefined ? codec : (codec.keeping?.(topK) ?? codec);
  }
}
