import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { bindFailure, formatAddress, type Address } from './address.js';
import { EmulatedWay } from './emulated-way.js';

/** A slower link than the machine has. Rates count headers and may be Infinity. */
export interface LinkThrottle {
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  readonly roundTripMs: number;
}

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
  private readonly up: EmulatedWay;
  private readonly down: EmulatedWay;
  private readonly tunnels = new Map<string, Promise<Address>>();
  private readonly servers = new Set<Server>();
  private readonly sockets = new Set<Socket>();

  constructor(private readonly throttle: LinkThrottle) {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = throttle;
    const nowMs = (): number => performance.now();
    this.up = new EmulatedWay(upBitsPerSecond, roundTripMs / 2, nowMs);
    this.down = new EmulatedWay(downBitsPerSecond, roundTripMs / 2, nowMs);
  }

  /** Where to dial on this machine so that a connection goes over the link to `target`. */
  to(target: Address): Promise<Address> {
    const key = formatAddress(target);
    let tunnel = this.tunnels.get(key);
    if (tunnel === undefined) {
      tunnel = this.serve(LOOPBACK, (near) => this.join(near, target, this.up, this.down)).then((port) => ({ host: LOOPBACK, port }));
      this.tunnels.set(key, tunnel);
    }
    return tunnel;
  }

  /** A free port of `host`, from which connections come over the link to `port` of this machine. Throws LongtailError `unreachable`. */
  from(host: string, port: number): Promise<number> {
    return this.serve(host, (far) => this.join(far, { host: LOOPBACK, port }, this.down, this.up));
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

  private join(dialled: Socket, { host, port }: Address, there: EmulatedWay, back: EmulatedWay): void {
    const target = connect({ host, port, allowHalfOpen: true, noDelay: true });
    for (const socket of [dialled, target]) {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    }
    pour(dialled, target, there);
    pour(target, dialled, back);
    // TCP's own handshake takes a round trip before the first byte may leave.
    setTimeout(() => dialled.resume(), this.throttle.roundTripMs);
  }
}

function pour(source: Socket, target: Socket, way: EmulatedWay): void {
  source.on('data', (data) => {
    let waitMs = 0;
    for (let at = 0; at < data.length; at += SLICE_BYTES) {
      const slice = data.subarray(at, at + SLICE_BYTES);
      waitMs = way.carry(slice.length, () => void target.write(slice));
    }
    if (waitMs <= QUEUE_MS) return;
    source.pause();
    setTimeout(() => source.resume(), waitMs - QUEUE_MS);
  });
  source.on('end', () => way.carry(0, () => target.end()));
  source.on('error', () => undefined); // 'close' follows
  source.on('close', (broken) => way.carry(0, () => (broken ? target.resetAndDestroy() : target.destroySoon())));
}
