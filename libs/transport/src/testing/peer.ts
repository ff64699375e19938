import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface PeerOptions {
  readonly name: string;
  /** A worker of this server; without it a server. */
  readonly address?: string;
  readonly sameHost: boolean;
  /** A neighbour instead: it dials `address`, or says its own and accepts, with this key. */
  readonly linkKey?: string;
  /** Its application never takes a chunk. */
  readonly takesNothing?: boolean;
}

export type PeerCommand =
  | { readonly do: 'send'; readonly bytes: number; readonly seed: number }
  | { readonly do: 'block'; readonly ms: number }
  | { readonly do: 'memory' };

export type PeerReport =
  | { readonly event: 'ready'; readonly address: string }
  | { readonly event: 'message' | 'sent' | 'blocking' }
  | { readonly event: 'unsent'; readonly reason: string }
  | { readonly event: 'tensor'; readonly bytes: number; readonly sha256: string }
  | { readonly event: 'memory'; readonly bytes: number }
  | { readonly event: 'closed'; readonly reason: string };

type ReportOf<Event> = Extract<PeerReport, { event: Event }>;

/** Processes run what `tsc --build` made of peer-process.ts. */
const SCRIPT = fileURLToPath(new URL('../../dist/testing/peer-process.js', import.meta.url));

/** A peer in another process. */
export class Peer {
  private readonly reports: PeerReport[] = [];
  private readonly exited: Promise<void>;
  private arrived = (): void => undefined;

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (report: PeerReport) => {
      this.reports.push(report);
      this.arrived();
    });
    this.exited = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  static async start(options: PeerOptions): Promise<{ peer: Peer; address: string }> {
    const peer = new Peer(fork(SCRIPT, [JSON.stringify(options)], { execArgv: [] }));
    const { address } = await peer.next('ready');
    return { peer, address };
  }

  /** The next report of that kind; those before it are dropped. */
  async next<Event extends PeerReport['event']>(event: Event): Promise<ReportOf<Event>> {
    for (;;) {
      const index = this.reports.findIndex((report) => report.event === event);
      if (index >= 0) return this.reports.splice(0, index + 1).at(-1) as ReportOf<Event>;
      await new Promise<void>((resolve) => (this.arrived = resolve));
    }
  }

  tell(command: PeerCommand): void {
    this.child.send(command);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
