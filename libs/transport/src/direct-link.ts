import { LongtailError, type ConnectionTraffic, type LinkRate, type OutgoingTensor, type PeerLink } from '@longtail/core';
import type { TensorLink } from './tensor-link.js';

type Handlers = Parameters<PeerLink['start']>[0];

export interface DirectLinkOptions {
  /** The peer's address, for people. */
  readonly peer: string;
  readonly link: TensorLink;
  /** Frees what the link holds, after what was posted to it; called once. */
  readonly release: () => void;
}

/** One end of a link between neighbours, whichever of them dialled. */
export class DirectLink implements PeerLink {
  private handlers: Handlers | undefined;
  private endReason: string | undefined;

  constructor(private readonly options: DirectLinkOptions) {}

  get peer(): string {
    return this.options.peer;
  }

  get traffic(): ConnectionTraffic {
    return this.options.link.traffic;
  }

  get sending(): LinkRate | undefined {
    return this.options.link.sending;
  }

  start(handlers: Handlers): void {
    if (this.handlers !== undefined) throw new Error('a link is started once');
    this.handlers = handlers;
    if (this.endReason === undefined) this.options.link.start(handlers);
    else this.report();
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return this.options.link.send(tensor, signal);
  }

  close(reason: string): void {
    if (this.endReason !== undefined) return;
    this.options.link.sendFrame({ frame: 'end', end: { reason: reason.slice(0, MOST_REASON) } });
    this.finish(reason);
  }

  /** The peer ended the link, is gone, or broke the protocol. */
  fail(error: LongtailError): void {
    if (this.endReason !== undefined) return;
    if (error.code !== 'unreachable') this.options.link.sendFrame({ frame: 'end', end: { reason: error.message.slice(0, MOST_REASON) } });
    this.finish(error.message);
  }

  private finish(reason: string): void {
    const { peer, link, release } = this.options;
    this.endReason = reason;
    link.end(new LongtailError(`the link to ${peer} ended: ${reason}`, { code: 'unreachable', where: peer }));
    release();
    if (this.handlers !== undefined) this.report();
  }

  private report(): void {
    queueMicrotask(() => this.handlers!.closed(this.endReason!));
  }
}

/** Of a text in a frame; a frame is at most 4 KiB. */
const MOST_REASON = 1_000;
