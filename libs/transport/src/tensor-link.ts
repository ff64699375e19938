import { LongtailError, type ConnectionTraffic, type LinkRate, type OutgoingTensor } from '@longtail/core';
import { encodeLinkFrame, type Crc32c, type LinkFrame } from '@longtail/protocol';
import type { FairShare } from './fair-share.js';
import type { Payloads } from './payloads.js';
import type { PeerSegment } from './peer-segment.js';
import { TensorReceiver, type TensorHandlers } from './tensor-receiver.js';
import { TensorSender, type SendFrame } from './tensor-sender.js';
import type { UploadLimit } from './upload-limit.js';

export interface TensorLinkOptions {
  /** Tag of the session's frames. */
  readonly session: number;
  readonly payloads: Payloads;
  readonly crc32c: Crc32c;
  readonly nowMs: () => number;
  /** Of all links of this process together. @default none */
  readonly uploadLimit?: UploadLimit;
  /** Among all links of this end. @default this is the only one */
  readonly fairShare?: FairShare;
  /** Queues a frame and perhaps a piece's bytes, which must not change until the peer acknowledged them. */
  readonly post: (parts: readonly Uint8Array[]) => void;
  /** The peer broke the protocol, or the application could not take a chunk. */
  readonly failed: (error: LongtailError) => void;
}

/** The tensors of one session, both directions, over whatever carries its messages. */
export class TensorLink {
  private bytesSent = 0;
  private bytesReceived = 0;
  private greetedAtMs = 0;
  private greetings = 0;
  private readonly sender: TensorSender;
  private readonly receiver: TensorReceiver;

  constructor(private readonly options: TensorLinkOptions) {
    const { payloads, nowMs, crc32c, failed, uploadLimit, fairShare } = options;
    this.sender = new TensorSender(payloads, nowMs, this.sendFrame, uploadLimit);
    const acknowledge = {
      received: (seq: number, bytes: number) => {
        const atMs = nowMs();
        this.sendFrame({ frame: 'received', received: { seq, atMs, share: fairShare?.arrived(this, bytes, atMs) ?? 0 } });
      },
      taken: (seq: number) => this.sendFrame({ frame: 'taken', taken: { seq } }),
    };
    this.receiver = new TensorReceiver(crc32c, acknowledge, failed);
  }

  get session(): number {
    return this.options.session;
  }

  get traffic(): ConnectionTraffic {
    return { bytesSent: this.bytesSent, bytesReceived: this.bytesReceived };
  }

  get sending(): LinkRate | undefined {
    return this.sender.rate;
  }

  /** A frame of the handshake is sent that the peer answers at once. */
  greet(frame: Parameters<SendFrame>[0]): void {
    this.greetedAtMs = this.options.nowMs();
    this.greetings++;
    this.sendFrame(frame);
  }

  /** The peer has answered and tensors may flow. `shared`: it reads our tensor memory; `segment`: its own, when we read that. */
  open(shared: boolean, segment: PeerSegment | undefined): void {
    this.receiver.open(segment);
    // Which of several greetings was answered is not known.
    this.sender.open(shared, this.greetings === 1 ? this.options.nowMs() - this.greetedAtMs : Infinity);
  }

  start(handlers: TensorHandlers): void {
    this.receiver.start(handlers);
  }

  send(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return this.sender.send(tensor, signal);
  }

  /** A frame of this session came. Throws LongtailError `protocol` when it cannot be. */
  receive(frame: LinkFrame, frameBytes: number, payload: Uint8Array | undefined): void {
    this.bytesReceived += bytesOf(frame, frameBytes);
    if (frame.frame === 'piece') this.receiver.piece(frame.piece, payload);
    else if (frame.frame === 'received') this.sender.received(frame.received);
    else if (frame.frame === 'taken') this.sender.taken(frame.taken);
    else if (frame.frame === 'withdrawn') this.receiver.withdrawn(frame.withdrawn.transfer);
    else if (frame.frame === 'end') this.options.failed(new LongtailError(frame.end.reason, { code: 'unreachable' }));
    else if (frame.frame !== 'idle') throw new LongtailError(`"${frame.frame}" on a link that is open`, { code: 'protocol', where: 'LinkFrame.frame' });
  }

  end(error: LongtailError): void {
    this.sender.fail(error);
    this.receiver.end();
  }

  readonly sendFrame: SendFrame = (frame, payload) => {
    const head = encodeLinkFrame({ ...frame, session: this.options.session } as LinkFrame);
    this.bytesSent += bytesOf(frame, head.length);
    this.options.uploadLimit?.sent(head.length + (payload?.length ?? 0), this.options.nowMs());
    this.options.post(payload === undefined ? [head] : [head, payload]);
  };
}

/** That count as traffic. */
function bytesOf(frame: Parameters<SendFrame>[0], headBytes: number): number {
  if (frame.frame !== 'piece') return headBytes;
  const { header, bytes } = frame.piece;
  return header.kind === 'PROBE' ? 0 : headBytes + bytes;
}
