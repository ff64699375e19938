import { setTimeout as delay } from 'node:timers/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { bindFailure, formatAddress, type Address } from './address.js';
import { EmulatedWay } from './emulated-way.js';

/** A slower link than the machine has. Rates count headers and may be Infinity. */
export interface LinkThrottle {
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  readonly roundTripMs: number;
  /** Bytes that one of a tensor takes, where a small model stands for one as many times as large. @default 1 */
  readonly standsFor?: number;
}

/** Decisions are no larger where a model is. */
export type Carried = 'decisions' | 'tensors';

/** Bytes that arrive together: full TCP segments, few enough that a slow link delivers steadily. */
const SLICE_BYTES = 8 * 1448;

/** What waits before the transmitter; the rest stays with the sender, as it does before a modem whose queue is full. */
const QUEUE_MS = 100;

const LOOPBACK = '127.0.0.1';

/**
 * A link in user space: connections that go through it share one transmitter a direction, and take half the round trip each way. It
 * carries bytes of TCP, whatever they say: decisions, tensors, acknowledgements, heartbeats. No packet is ever lost on it.
 */
export class EmulatedLink {
  /** As in its throttle. */
  readonly standsFor: number;
  private readonly up: EmulatedWay;
  private readonly down: EmulatedWay;
  private readonly tunnels = new Map<string, Promise<Address>>();
  private readonly servers = new Set<Server>();
  private readonly sockets = new Set<Socket>();

  constructor(private readonly throttle: LinkThrottle) {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs, standsFor = 1 } = throttle;
    this.standsFor = standsFor;
    const nowMs = (): number => performance.now();
    this.up = new EmulatedWay(upBitsPerSecond, roundTripMs / 2, nowMs);
    this.down = new EmulatedWay(downBitsPerSecond, roundTripMs / 2, nowMs);
  }

  /** Where to dial on this machine so that a connection goes over the link to `target`. */
  to(target: Address, carried: Carried): Promise<Address> {
    const key = formatAddress(target);
    let tunnel = this.tunnels.get(key);
    if (tunnel === undefined) {
      tunnel = this.serve(LOOPBACK, (near) => this.join(near, target, carried, this.up, this.down)).then((port) => ({ host: LOOPBACK, port }));
      this.tunnels.set(key, tunnel);
    }
    return tunnel;
  }

  /** A free port of `host`, from which connections come over the link to `port` of this machine. Throws LongtailError `unreachable`. */
  from(host: string, port: number, carried: Carried): Promise<number> {
    return this.serve(host, (far) => this.join(far, { host: LOOPBACK, port }, carried, this.down, this.up));
  }

  /** Breaks all connections. */
  close(): void {
    for (const server of this.servers) server.close();
    for (const socket of this.sockets) socket.destroy();
    this.up.close();
    this.down.close();
  }

  private serve(host: string, accept: (socket: Socket) => void): Promise<number> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, accept);
    this.servers.add(server);
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(bindFailure({ host, port: 0 }, '--listen', error)));
      server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
    });
  }

  private join(dialled: Socket, { host, port }: Address, carried: Carried, there: EmulatedWay, back: EmulatedWay): void {
    const target = connect({ host, port, allowHalfOpen: true, noDelay: true });
    for (const socket of [dialled, target]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined); // 'close' follows
      socket.once('close', () => this.sockets.delete(socket));
    }
    const standsFor = carried === 'tensors' ? this.standsFor : 1;
    // TCP's own handshake takes a round trip before the first byte may leave.
    setTimeout(() => void pour(dialled, target, there, standsFor), this.throttle.roundTripMs);
    void pour(target, dialled, back, standsFor);
  }
}

/** Each byte takes the way `standsFor` times as long as it would. */
async function pour(source: Socket, target: Socket, way: EmulatedWay, standsFor: number): Promise<void> {
  const sliceBytes = Math.ceil(SLICE_BYTES / standsFor);
  source.on('close', (broken) => broken && way.carry(0, () => target.resetAndDestroy()));
  try {
    for await (const data of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (let at = 0; at < data.length; at += sliceBytes) {
        const slice = data.subarray(at, at + sliceBytes);
        const waitMs = way.carry(standsFor * slice.length, () => void target.write(slice));
        if (waitMs > QUEUE_MS) await delay(waitMs - QUEUE_MS);
      }
    }
    way.carry(0, () => target.end());
  } catch {
    way.carry(0, () => target.resetAndDestroy());
  }
}
