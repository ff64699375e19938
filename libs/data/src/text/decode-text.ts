import { LongtailError } from '@longtail/core';

/** The text of a file with `\n` line ends and no byte-order mark. LongtailError `invalid-data` for bytes that are no UTF-8. */
export function decodeText(bytes: Uint8Array, encoding: 'utf8' | 'latin1', where: string): string {
  return decodeBytes(bytes, encoding, where).replaceAll('\r\n', '\n');
}

/** Files in their order; one that does not end its last line is given the line end. */
export function joinTexts(texts: readonly string[]): string {
  return texts.map((text, i) => (i === texts.length - 1 || text.endsWith('\n') ? text : `${text}\n`)).join('');
}

function decodeBytes(bytes: Uint8Array, encoding: 'utf8' | 'latin1', where: string): string {
  // TextDecoder's `latin1` is windows-1252, which differs between 0x80 and 0x9f.
  if (encoding === 'latin1') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new LongtailError('The file is not UTF-8 text.', {
      code: 'invalid-data',
      where,
      hint: 'Set `encoding: latin1` in the job if it is an older text.',
      cause,
    });
  }
}
