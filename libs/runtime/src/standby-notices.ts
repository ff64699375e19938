import type { ServerMessage } from '@longtail/protocol';
import type { Session } from './membership.js';
import type { ServerOptions } from './server.js';
import type { StandbySeat } from './standby-seat.js';

const DEFAULT_HEARTBEAT_MS = 2000;
/** Of workers, while there is a standby: three of them missed, and a second for it to decide, are less than 5 s. */
const STANDBY_HEARTBEAT_MS = 1000;

/** What nodes are told of the server's standby, and it of them. */
export class StandbyNotices {
  /** What nodes know. */
  private told = { address: '', number: 0 };

  constructor(
    private readonly seat: StandbySeat,
    private readonly sessions: () => readonly Session[],
    private readonly options: Pick<ServerOptions, 'heartbeatMs' | 'host' | 'onStandby' | 'standbyGone'>,
  ) {}

  /** Where a standby is to take over in time, workers must notice in time. */
  get heartbeatMs(): number {
    const { heartbeatMs = DEFAULT_HEARTBEAT_MS } = this.options;
    return this.seat.address === '' ? heartbeatMs : Math.min(heartbeatMs, STANDBY_HEARTBEAT_MS);
  }

  /** It has come, or is gone. `atOnce`: it is not to take over. */
  changed(atOnce: boolean): void {
    const { address, changes: number } = this.seat;
    const tell = (): void => {
      if (number !== this.seat.changes) return;
      this.told = { address, number };
      for (const session of this.sessions()) session.send(this.message);
      this.tellFleet();
    };
    if (address !== '') this.options.onStandby?.(address);
    if (address !== '' || atOnce || this.options.standbyGone === undefined) tell();
    else void this.options.standbyGone().then(tell);
  }

  joined(session: Session): void {
    if (this.seat.changes > 0) session.send(this.message);
    this.tellFleet();
  }

  left(): void {
    this.tellFleet();
  }

  private get message(): ServerMessage {
    return { message: 'standby', standby: { ...this.told, heartbeatMs: this.heartbeatMs } };
  }

  private tellFleet(): void {
    if (this.seat.address === '') return;
    const { host = '' } = this.options;
    const sessions = this.sessions();
    const beside = sessions.filter(({ hello }) => host !== '' && hello.host === host);
    this.seat.tellFleet({ nodes: sessions.map(({ node }) => node), beside: new Set(beside.map(({ node }) => node)) });
  }
}
