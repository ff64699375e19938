import { LongtailError } from '@longtail/core';

/** The content of a gzip file, or the bytes themselves when they are none. LongtailError `invalid-data`. */
export async function gunzipped(bytes: Uint8Array, where: string): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new LongtailError('The gzip file is damaged or cut off.', {
      code: 'invalid-data',
      where,
      hint: 'Download or copy the file again.',
      cause,
    });
  }
}
