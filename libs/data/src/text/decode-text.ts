import { formatBytes, LongtailError } from '@longtail/core';

/** Of V8's strings. */
const MOST_LENGTH = 2 ** 29 - 24;

/** The text of a file with `\n` line ends and no byte-order mark. LongtailError `invalid-data` for bytes that are no UTF-8, or more than a string holds. */
export function decodeText(bytes: Uint8Array, encoding: 'utf8' | 'latin1', where: string): string {
  return decodeBytes(bytes, encoding, where).replaceAll('\r\n', '\n');
}

/** Files in their order; one that does not end its last line is given the line end. LongtailError `invalid-data` for more than a string holds. */
export function joinTexts(texts: readonly string[]): string {
  const length = texts.reduce((sum, text) => sum + text.length + 1, 0);
  if (length > MOST_LENGTH) throw tooLong(length);
  return texts.map((text, i) => (i === texts.length - 1 || text.endsWith('\n') ? text : `${text}\n`)).join('');
}

function decodeBytes(bytes: Uint8Array, encoding: 'utf8' | 'latin1', where: string): string {
  // TextDecoder's `latin1` is windows-1252, which differs between 0x80 and 0x9f.
  if (encoding === 'latin1') {
    if (bytes.length > MOST_LENGTH) throw tooLong(bytes.length, where);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_STRING_TOO_LONG') throw tooLong(bytes.length, where);
    throw new LongtailError('The file is not UTF-8 text.', {
      code: 'invalid-data',
      where,
      hint: 'Set `encoding: latin1` in the job if it is an older text.',
      cause,
    });
  }
}

function tooLong(length: number, where?: string): LongtailError {
  return new LongtailError(`The text is too long: ${formatBytes(length)}, and ${formatBytes(MOST_LENGTH)} are the most.`, {
    code: 'invalid-data',
    where,
    hint: 'Train on a part of it: all files of a job together are one text.',
  });
}
