import type { ConnectionTraffic, Verdict } from '@longtail/core';
import type { Session } from './membership.js';

/** What travelled for a run between the server and one of its members. */
export class MemberTraffic {
  private readonly atStart: ConnectionTraffic;
  /** It has left the run. */
  private atEnd: ConnectionTraffic | undefined;
  /** What had travelled when it was taken last, or the first task began; −1 before that: probes and files before it are of no contribution. */
  private sent = -1;
  private received = 0;
  private direct = 0;

  constructor(private readonly session: Session) {
    this.atStart = session.traffic;
  }

  /** A task begins. */
  begin(): void {
    if (this.sent < 0) this.take();
  }

  /** Bytes that it sent to other workers. */
  addDirect(bytes: number): void {
    this.direct += bytes;
  }

  end(): void {
    this.atEnd = this.session.traffic;
  }

  /** Since the last call, at first since the first task began, for the event of a contribution. */
  take(): { readonly bytesUp: number; readonly bytesDown: number } {
    const { bytesSent, bytesReceived } = this.session.traffic;
    const since = { bytesUp: bytesReceived - this.received, bytesDown: bytesSent - this.sent };
    this.sent = bytesSent;
    this.received = bytesReceived;
    return since;
  }

  /** Of the run: it stands still once the member has left it. `direct`: sent to other workers. */
  get total(): Verdict['bytes'] {
    const { atStart, direct } = this;
    const { bytesSent, bytesReceived } = this.atEnd ?? this.session.traffic;
    return { up: bytesReceived - atStart.bytesReceived, down: bytesSent - atStart.bytesSent, direct };
  }
}
