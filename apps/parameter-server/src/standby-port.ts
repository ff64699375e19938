import { LongtailError } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello } from '@longtail/protocol';
import { createKernels } from '@longtail/kernels';
import type { ServerConnection } from '@longtail/runtime';
import { createTensorMemory, listen, wallClock, type ControlService, type KnownPeers, type Listener, type ServerAccess, type TensorMemory } from '@longtail/transport';
import type { Logger } from 'pino';

export interface StandbyPortOptions {
  readonly host: string;
  readonly port: number;
  readonly version: string;
  /** Of the server that it is the standby of. */
  readonly server: string;
  readonly log: Logger;
  /** Whom the server lets in; undefined: everybody. */
  readonly access: KnownPeers | undefined;
  /** A worker came that does not reach the server. */
  witness(node: string): void;
  /** The server was started again, and found that its standby holds more. */
  restarted(): void;
  /** Somebody wants it to take over. Throws LongtailError `refused` where it does not. */
  ordered(force: boolean): void;
  /** It holds enough to take over. */
  ready(): boolean;
}

/** Of a standby that is no server yet. */
export const READY = 'ready';

type OnSession = (connection: ServerConnection, hello: Hello) => void;

/** The ports of a standby: nobody gets in before it is the server, and from then on everybody does, without dialling anew. */
export class StandbyPort {
  private control: ControlService;
  private access: ServerAccess | undefined;
  private onSession: OnSession;
  private listener!: Listener;
  readonly memory: TensorMemory = createTensorMemory();

  private constructor(options: StandbyPortOptions) {
    const refuse = () => Promise.reject(notYet(options));
    const startedAtMs = wallClock.nowMs();
    const waiting: Partial<ControlService> = {
      getServer: async () => ({ protocol: PROTOCOL_VERSION, version: options.version, startedAtMs, nodes: 0, runningJobs: 0, epoch: 0, standbyAddress: '', standbyState: options.ready() ? READY : 'behind' }),
      async takeOver({ ordered, force }) {
        if (ordered) options.ordered(force);
        else options.restarted();
        return {};
      },
      async *watch() {
        throw notYet(options);
      },
    };
    this.control = new Proxy(waiting, { get: (own, name) => own[name as keyof ControlService] ?? refuse }) as ControlService;
    this.access = options.access && waitingAccess(options.access, () => notYet(options));
    this.onSession = (connection, hello) => {
      options.witness(hello.node);
      connection.send({ message: 'refused', refused: notYet(options).toWire() });
      connection.close('it is not the server');
    };
  }

  /** Throws LongtailError `address-in-use`, `unreachable` (no such address here). */
  static async open(options: StandbyPortOptions): Promise<StandbyPort> {
    const port = new StandbyPort(options);
    const kernels = createKernels();
    port.listener = await listen({
      host: options.host,
      port: options.port,
      control: new Proxy({} as ControlService, { get: (_, name) => port.control[name as keyof ControlService] }),
      access: port.access && new Proxy({} as ServerAccess, { get: (_, name) => port.access![name as keyof ServerAccess] }),
      crc32c: (bytes) => kernels.crc32c(bytes),
      memory: port.memory,
      onSession: (connection, hello) => port.onSession(connection, hello),
      onDropped: (reason) => options.log.warn({ reason }, 'connection dropped'),
      signal: new AbortController().signal,
    });
    return port;
  }

  get address(): string {
    return this.listener.address;
  }

  /** It is the server from here on. */
  serve(control: ControlService, access: ServerAccess | undefined, onSession: OnSession): Listener {
    this.control = control;
    this.access = access;
    this.onSession = onSession;
    return this.listener;
  }

  async close(reason: string): Promise<void> {
    await this.listener.close(reason);
    this.memory.close();
  }
}

/** Knows who is who and changes nothing. Somebody whom the server let in just now may not be known here yet: that is no refusal. */
function waitingAccess(known: KnownPeers, notYet: () => LongtailError): ServerAccess {
  const { certificate, privateKey, authority } = known;
  const refuse = () => Promise.reject(notYet());
  const identify: ServerAccess['identify'] = (shown) => {
    try {
      return known.identify(shown);
    } catch {
      throw notYet();
    }
  };
  return { certificate, privateKey, authority, identify, enrol: refuse, renew: refuse, createToken: refuse, listAccess: refuse, revoke: refuse, handOver: refuse };
}

function notYet({ server }: StandbyPortOptions): LongtailError {
  return new LongtailError(`this is the standby of ${server}, and has not taken over from it`, { code: 'unreachable', hint: `Talk to ${server}.` });
}
