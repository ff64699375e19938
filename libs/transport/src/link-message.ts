import { LongtailError } from '@longtail/core';
import { decodeLinkFrame, type LinkFrame } from '@longtail/protocol';

/** A frame of a ZeroMQ message, its size, and the bytes that follow it when it is a piece that does not lie in a shared segment. */
export interface ReceivedFrame {
  readonly frame: LinkFrame;
  readonly frameBytes: number;
  readonly payload: Uint8Array | undefined;
}

/** The frames of a message, one after the other; throws LongtailError `protocol` at the first that is not one. */
export function* framesOf(parts: readonly Uint8Array[]): Generator<ReceivedFrame> {
  if (parts.length === 0) throw new LongtailError('a message without a frame', { code: 'protocol' });
  for (let index = 0; index < parts.length; index++) {
    const head = parts[index]!;
    const frame = decodeLinkFrame(head);
    const follows = frame.frame === 'piece' && frame.piece.position === 0;
    yield { frame, frameBytes: head.length, payload: follows ? parts[++index] : undefined };
  }
}
