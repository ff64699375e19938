/**
 * For both ends. Heartbeats are ZeroMQ's own, between its I/O threads: they notice a dead host within 10 s and go on while
 * JavaScript is blocked. There is no high-water mark on sending, as a link has at most its window in flight.
 */
export const TENSOR_SOCKET_OPTIONS = {
  linger: 0,
  heartbeatInterval: 2_000,
  heartbeatTimeout: 8_000,
  heartbeatTimeToLive: 10_000,
  maxMessageSize: 8 * 1024 * 1024,
  sendHighWaterMark: 0,
} as const;

/** The first 32 bits of a session's key. */
export function sessionTag(key: string): number {
  return Number.parseInt(key.slice(0, 8), 16);
}
