import { setFlagsFromString } from 'node:v8';
import * as zmq from 'zeromq';

/** For both ends. There is no high-water mark on sending, as a link has at most its window in flight. */
export const TENSOR_SOCKET_OPTIONS = {
  linger: 0,
  handshakeInterval: 10_000,
  maxMessageSize: 8 * 1024 * 1024,
  sendHighWaterMark: 0,
} as const;

/** ZeroMQ's own, between I/O threads: they notice a dead host within 10 s and go on while JavaScript is blocked. */
export const HEARTBEATS = { heartbeatInterval: 2_000, heartbeatTimeout: 8_000 } as const;

/**
 * Instead of heartbeats, for an end with thousands of links whose peers are watched over another connection: the system closes what is dead
 * after a minute. For each message of a peer of which it counts the time ZeroMQ looks through the timers of all (half a core at 5,000).
 */
export const KEEPALIVE = { tcpKeepalive: 1, tcpKeepaliveIdle: 30, tcpKeepaliveInterval: 10, tcpKeepaliveCount: 3 } as const;

/** The first 32 bits of a session's key. */
export function sessionTag(key: string): number {
  return Number.parseInt(key.slice(0, 8), 16);
}

/** With those that watch it. */
const SOCKETS_A_LINK = 4;

/** An I/O thread and the tensor sockets that it works for. */
export type TensorContext = zmq.Context;

/**
 * A context of its own for each endpoint, so that closing one ends its I/O thread; or one for many links.
 *
 * V8 counts every received message as memory outside its heap, and above 64 MB of it starts to mark incrementally; each further message
 * then waits for a marking step of up to 10 ms. Without incremental marking it collects at once, some 5 ms for heaps like ours, a fifth
 * as often (a round of 100 MB over TCP: 900 ms against 2300).
 */
export function createTensorContext(links = 1): TensorContext {
  setFlagsFromString('--no-incremental-marking');
  return new zmq.Context({ maxSockets: SOCKETS_A_LINK * links });
}
