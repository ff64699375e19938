import { messageType } from './descriptor.js';
import type { LinkFrame, Piece, Segment } from './generated/messages.js';
import { LIMITS } from './limits.js';
import { validateMessage, violation } from './validate.js';

const type = messageType('LinkFrame');
const DECODING = { longs: Number, enums: String, defaults: true, oneofs: true } as const;

/** A link frame as bytes; the caller's numbers are trusted. */
export function encodeLinkFrame(frame: LinkFrame): Uint8Array {
  return type.encode(type.fromObject(frame)).finish();
}

/** Bytes from an untrusted peer as a link frame. Throws LongtailError `protocol` that says what is wrong with them. */
export function decodeLinkFrame(bytes: Uint8Array): LinkFrame {
  if (bytes.length > LIMITS.linkFrameBytes) {
    throw violation('LinkFrame', `has ${bytes.length} bytes, the limit is ${LIMITS.linkFrameBytes}`);
  }
  const frame = validateMessage('LinkFrame', parse(bytes));
  if (frame.frame === 'piece') checkPiece(frame.piece);
  if (frame.frame === 'open') checkSegment(frame.open.segment);
  if (frame.frame === 'opened') checkSegment(frame.opened.segment);
  return frame;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return type.toObject(type.decode(bytes), DECODING);
  } catch (error) {
    throw violation('LinkFrame', `cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkPiece({ at, bytes, total, header, position }: Piece): void {
  if (total > LIMITS.chunkBytes) throw violation('Piece.total', `is ${total} bytes, the limit of a chunk is ${LIMITS.chunkBytes}`);
  if (at + bytes > total) throw violation('Piece.bytes', `ends at ${at + bytes}, after the chunk's ${total} bytes`);
  if (bytes === 0 && total > 0) throw violation('Piece.bytes', 'is 0 in a chunk that has some');
  if (header.kind === 'FILE' && header.length !== total) {
    throw violation('Piece.total', `is ${total} bytes for ${header.length} bytes of a file`);
  }
  if (!Number.isSafeInteger(position)) throw violation('Piece.position', `is ${position}, not a place in a segment`);
  if (position !== 0 && bytes !== total) throw violation('Piece.position', 'is that of a part of a chunk');
}

function checkSegment({ bytes }: Segment): void {
  if (!Number.isSafeInteger(bytes)) throw violation('Segment.bytes', `is ${bytes}, not a size`);
}
