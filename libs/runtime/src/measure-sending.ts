import type { AllocateTensor, Clock, Connection, LinkRate, OutgoingTensor } from '@longtail/core';
import { within } from './within.js';

export interface SendingOptions {
  readonly clock: Clock;
  /** Memory for what is sent: links between processes of a host are measured with what they are used for. */
  readonly allocate: AllocateTensor;
  /** Of the largest transfer. */
  readonly mostBytes: number;
  readonly signal: AbortSignal;
}

export const privateMemory: AllocateTensor = (bytes) => new Uint8Array(bytes);

const PINGS = 5;
/** Messages after a pause, of which the mean counts: as large as a small activation, or what the link carries in so long. */
const MESSAGES = 10;
const PAUSE_MS = 20;
/** Of what a message has may come from the other end in a pause, which measures its messages then; more is a transfer, and holds up what is sent. */
const QUIET_MESSAGES = 2;
const MESSAGE_BYTES = 128 * 1024;
const MESSAGE_MS = 5;
const FIRST_BYTES = 16 * 1024;
/** Of transfers, at most; less where so much more than long enough would do. */
const GROWTH = 4;
const AIM = 1.25;
/** Chunks of a transfer: enough for the link's window to work as it does with a gradient's. */
const CHUNKS = 16;
/** A transfer that takes so long, or has so much, and takes so many round trips, is a measurement … */
const LONG_ENOUGH_MS = 100;
/** Takes two thirds of a tenth of a second at 1 Gbit/s. Of faster links, such as those within a host, all that more of it would tell is how busy the host is. */
const ENOUGH_BYTES = 2 ** 23;
const ROUND_TRIPS = 4;
/** … which holds when the next one of that size is not faster by a quarter: somebody was busy, or windows had yet to open. */
const FASTER = 1.25;
/** After so long, and so many round trips, the one under way is the last. */
const BUDGET_MS = 1000;
const BUDGET_ROUND_TRIPS = 16;
/** A link that takes that long is of no use. */
const LIMIT_MS = 5000;
/** A round trip's jitter must not make a transfer look as if it took no time. */
const LEAST_PART = 1 / 8;

/**
 * How fast tensors leave for a peer, and how long a round trip takes: transfers of growing size until one takes 100 ms,
 * or has 8 MiB, and four round trips, and another one no less; of each the round trip is taken off. Half a second or so; milliseconds on a link within a host.
 * Rejects with LongtailError `unreachable`, `timeout` on a link of less than 30 kbit/s, or the signal's reason.
 */
export function measureSending(link: TensorWay, options: SendingOptions): Promise<LinkRate> {
  return within(LIMIT_MS, options, (signal) => measure(link, { ...options, signal }));
}

export interface MessageOptions extends Pick<SendingOptions, 'clock' | 'signal' | 'allocate'> {
  /** Bytes that came from the other end so far. */
  readonly received: () => number;
}

/**
 * What a small activation takes to the other end after a pause, its bits on a link of this rate aside. As between passes,
 * processors have gone to sleep and caches are cold: a round trip that follows another one knows nothing of that. While the other
 * end still measures its rate it is waited for, as long as that may take. Rejects as `measureSending`.
 */
export function measureMessage(link: TensorWay, { bitsPerSecond, roundTripMs }: LinkRate, options: MessageOptions): Promise<number> {
  const { clock, allocate, received } = options;
  const bytes = Math.max(1, Math.min(MESSAGE_BYTES, Math.floor((MESSAGE_MS * bitsPerSecond) / 8000)));
  const payload = allocate(bytes);
  return within(LIMIT_MS, options, async (signal) => {
    const untilMs = clock.nowMs() + BUDGET_MS + BUDGET_ROUND_TRIPS * roundTripMs;
    const pause = async () => {
      for (let before = received(), isQuiet = false; !isQuiet; before = received()) {
        await clock.sleep(PAUSE_MS, signal);
        isQuiet = received() - before <= QUIET_MESSAGES * bytes || clock.nowMs() >= untilMs;
      }
    };
    let totalMs = 0;
    for (let message = 0; message < MESSAGES; message++) {
      await pause();
      const sentMs = clock.nowMs();
      await link.sendTensor(probe(payload, bytes, 1), signal);
      totalMs += clock.nowMs() - sentMs;
    }
    return Math.max(roundTripMs / 2, totalMs / MESSAGES - roundTripMs / 2 - (8000 * bytes) / bitsPerSecond);
  });
}

/** Whatever tensors go over. */
export type TensorWay = Pick<Connection<never, never>, 'sendTensor'>;

async function measure(link: TensorWay, { clock, allocate, mostBytes, signal }: SendingOptions): Promise<LinkRate> {
  const payload = noise(allocate(Math.ceil(mostBytes / CHUNKS)));
  const timed = async (bytes: number) => {
    const sentMs = clock.nowMs();
    await link.sendTensor(probe(payload, bytes), signal);
    return clock.nowMs() - sentMs;
  };
  let roundTripMs = Infinity;
  for (let ping = 0; ping < PINGS; ping++) roundTripMs = Math.min(roundTripMs, await timed(1));
  const sendingMs = async (bytes: number) => {
    const ms = await timed(bytes);
    return Math.max(ms - roundTripMs, LEAST_PART * ms, Number.EPSILON);
  };
  const roundTripsMs = ROUND_TRIPS * roundTripMs;
  const longEnoughMs = Math.max(LONG_ENOUGH_MS, roundTripsMs);
  const untilMs = clock.nowMs() + BUDGET_MS + BUDGET_ROUND_TRIPS * roundTripMs;
  let best = 0;
  for (let bytes = Math.min(FIRST_BYTES, mostBytes); ; ) {
    const ms = await sendingMs(bytes);
    const rate = bytes / ms;
    if (rate < FASTER * best || clock.nowMs() >= untilMs) return { bitsPerSecond: 8000 * Math.max(rate, best), roundTripMs };
    if (ms >= longEnoughMs || (bytes >= ENOUGH_BYTES && ms >= roundTripsMs) || bytes === mostBytes) best = rate;
    else bytes = Math.min(GROWTH * bytes, Math.ceil((AIM * longEnoughMs * bytes) / ms), bytes < ENOUGH_BYTES ? ENOUGH_BYTES : mostBytes, mostBytes);
  }
}

function probe(payload: Uint8Array, length: number, chunks = CHUNKS): OutgoingTensor {
  const header = { run: '', kind: 'probe', stage: 0, fragment: 0, task: 0, round: 0, baseVersion: 0, samples: 0, codec: 0, name: '', start: 0 } as const;
  const chunkLength = Math.ceil(length / chunks);
  return { header, length, chunkLength, chunk: (_offset, bytes) => payload.subarray(0, bytes) };
}

/** What no link makes smaller. Xorshift (Marsaglia 2003). */
function noise(bytes: Uint8Array): Uint8Array {
  let state = 0x9e3779b9;
  for (let i = 0; i < bytes.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}
