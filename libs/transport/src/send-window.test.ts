import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairShare } from './fair-share.js';
import { SendWindow, type SentMark } from './send-window.js';

const KIB = 1024;
const OPTIONS = { leastBytes: 64 * KIB, burstBytes: 128 * KIB, nearMs: 2, mostBytes: 16 * KIB * KIB, gain: 1.75, paceGain: 1.25 };

interface Link {
  readonly bytesPerMs: number;
  readonly roundTripMs: number;
  /** What acknowledgements wait on their way. */
  readonly acknowledgementMs?: number;
  /** Acknowledgements arrive together, so often. */
  readonly burstEveryMs?: number;
  /** The receiver says what it leaves to each. */
  readonly fair?: FairShare;
  /** Each sender has a link of its own instead, the receiver's is wide; when it begins, and ends. */
  readonly own?: readonly { readonly bytesPerMs: number; readonly laterMs: number; readonly untilMs: number }[];
}

interface Run {
  readonly deliveredBytes: number;
  readonly ofEach: readonly number[];
  /** Of each, what had arrived when sending ended. */
  readonly inTime: readonly number[];
  readonly queueMs: number;
}

const CLOCK_OFFSET_MS = -1e6;

/** Sends over a link with an endless queue for a while, then waits for what is in flight; gives what was delivered, and the longest queue in ms. */
function run(link: Link, ms: number, windows: SendWindow[], fromMs = 0, pieceBytes = 64 * KIB): Run {
  const acknowledgements: { atMs: number; arrivedAtMs: number; window: SendWindow; mark: SentMark }[] = [];
  const busyUntilMs = new Map<unknown, number>();
  let queueMs = 0;
  const ofEach = new Map(windows.map((window) => [window, 0]));
  const inTime = new Map(ofEach);
  for (let nowMs = fromMs; nowMs < fromMs + ms || acknowledgements.length > 0; nowMs += 0.25) {
    while (acknowledgements.length > 0 && acknowledgements[0]!.atMs <= nowMs) {
      const { window, mark, arrivedAtMs } = acknowledgements.shift()!;
      const share = link.fair?.arrived(window, mark.bytes, arrivedAtMs) ?? 0;
      window.acknowledged(mark, nowMs, arrivedAtMs + CLOCK_OFFSET_MS, share === 0 ? Infinity : share);
      ofEach.set(window, ofEach.get(window)! + mark.bytes);
      if (arrivedAtMs <= fromMs + (link.own?.[windows.indexOf(window)]?.untilMs ?? ms)) inTime.set(window, inTime.get(window)! + mark.bytes);
    }
    for (const [index, window] of windows.entries()) {
      const own = link.own?.[index];
      const narrow = own === undefined ? link : window;
      const [beginsAtMs, endsAtMs] = [fromMs + (own?.laterMs ?? 0), fromMs + (own?.untilMs ?? ms)];
      while (nowMs >= beginsAtMs && nowMs < endsAtMs && window.hasRoom(pieceBytes) && window.paceMs(nowMs) === 0) {
        const leftAtMs = Math.max(busyUntilMs.get(narrow) ?? 0, nowMs) + pieceBytes / (own ?? link).bytesPerMs;
        busyUntilMs.set(narrow, leftAtMs);
        queueMs = Math.max(queueMs, leftAtMs - nowMs);
        const arrivedAtMs = leftAtMs + link.roundTripMs / 2;
        const soonestMs = arrivedAtMs + link.roundTripMs / 2 + (link.acknowledgementMs ?? 0);
        const every = link.burstEveryMs ?? 0.25;
        const atMs = Math.ceil(soonestMs / every) * every;
        acknowledgements.push({ atMs, arrivedAtMs, window, mark: window.sent(pieceBytes, nowMs) });
        if (own !== undefined) acknowledgements.sort((a, b) => a.atMs - b.atMs);
      }
    }
  }
  return { deliveredBytes: [...ofEach.values()].reduce((sum, bytes) => sum + bytes), ofEach: [...ofEach.values()], inTime: [...inTime.values()], queueMs };
}

/** All that the application has. */
function sendOne({ bytesPerMs, roundTripMs }: Link, bytes: number, window: SendWindow, fromMs: number): void {
  const arrivedAtMs = fromMs + bytes / bytesPerMs + roundTripMs / 2;
  const mark = window.sent(bytes, fromMs);
  window.starve();
  window.acknowledged(mark, arrivedAtMs + roundTripMs / 2, arrivedAtMs + CLOCK_OFFSET_MS);
}

interface Message {
  readonly pieces: readonly number[];
  readonly atMs: number;
}

/** What arrives then waits so long for a busy event loop. */
type Stands = (atMs: number) => number;

/**
 * Each sender has a link of its own, and a message now and then: gives by how much longer each message took than the link takes for it, per
 * sender and message.
 */
function sendMessages(links: readonly Link[], messages: readonly (readonly Message[])[], stands: Stands, windows: readonly SendWindow[], fair: FairShare): number[][] {
  const left = messages.map((of) => of.map(({ pieces, atMs }) => ({ atMs, pieces: [...pieces], inFlight: 0, bytes: pieces.reduce((sum, one) => sum + one) })));
  const busyUntilMs = links.map(() => 0);
  const late: number[][] = links.map(() => []);
  const events: { readonly atMs: number; happen(): void }[] = [];
  const endMs = 10_000 + Math.max(...messages.flat().map(({ atMs }) => atMs));
  for (let nowMs = 0; nowMs < endMs; nowMs += 0.25) {
    events.sort((a, b) => a.atMs - b.atMs);
    while (events.length > 0 && events[0]!.atMs <= nowMs) events.shift()!.happen();
    for (const [i, window] of windows.entries()) {
      const message = left[i]![late[i]!.length];
      if (message === undefined || message.atMs > nowMs) continue;
      const { bytesPerMs, roundTripMs } = links[i]!;
      while (message.pieces.length > 0 && window.hasRoom(message.pieces[0]!) && window.paceMs(nowMs) === 0) {
        const bytes = message.pieces.shift()!;
        message.inFlight++;
        const mark = window.sent(bytes, nowMs);
        busyUntilMs[i] = Math.max(busyUntilMs[i]!, nowMs) + bytes / bytesPerMs;
        const arrivesAtMs = busyUntilMs[i] + roundTripMs / 2;
        const arrivedAtMs = arrivesAtMs + stands(arrivesAtMs);
        events.push({
          atMs: arrivedAtMs,
          happen: () => {
            const share = fair.arrived(window, bytes, arrivedAtMs);
            const acknowledgedAtMs = arrivedAtMs + roundTripMs / 2;
            events.push({
              atMs: acknowledgedAtMs,
              happen: () => {
                window.acknowledged(mark, acknowledgedAtMs, arrivedAtMs + CLOCK_OFFSET_MS, share === 0 ? Infinity : share);
                message.inFlight--;
                if (message.pieces.length > 0 || message.inFlight > 0) return;
                late[i]!.push(acknowledgedAtMs - message.atMs - message.bytes / bytesPerMs - roundTripMs);
                window.starve();
              },
            });
            events.sort((a, b) => a.atMs - b.atMs);
          },
        });
        if (message.pieces.length === 0) window.starve();
      }
    }
  }
  return late;
}

describe('the send window', () => {
  it('fills any link, and keeps at most a few products in flight', () => {
    const links = fc.record({ bytesPerMs: fc.double({ min: 500, max: 100_000, noNaN: true }), roundTripMs: fc.double({ min: 2, max: 150, noNaN: true }) });
    fc.assert(
      fc.property(links, (link) => {
        const window = new SendWindow(OPTIONS);
        const { deliveredBytes } = run(link, 5_000, [window]);
        const most = OPTIONS.mostBytes / (link.roundTripMs + 1);
        expect(deliveredBytes).toBeGreaterThan(0.7 * 5_000 * Math.min(link.bytesPerMs, most));
        const product = link.bytesPerMs * Math.max(30, link.roundTripMs + (64 * KIB) / link.bytesPerMs);
        expect(window.bytes).toBeLessThanOrEqual(OPTIONS.leastBytes + 1.2 * OPTIONS.gain * product);
      }),
      { numRuns: 30 },
    );
  });

  it('keeps the queue short when several workers share a link', () => {
    const windows = Array.from({ length: 4 }, () => new SendWindow(OPTIONS));
    const link = { bytesPerMs: 6_250, roundTripMs: 41 };
    for (const window of windows) window.observeRoundTrip(link.roundTripMs, true, 0);
    const { deliveredBytes, queueMs } = run(link, 5_000, windows);
    expect(deliveredBytes).toBeGreaterThan(0.95 * 5_000 * link.bytesPerMs);
    expect(queueMs).toBeLessThan(150);
  });

  it('leaves others their share of a link, whatever it had before they came', () => {
    const windows = Array.from({ length: 4 }, () => new SendWindow(OPTIONS));
    const link = { bytesPerMs: 6_250, roundTripMs: 41, fair: new FairShare() };
    for (const window of windows) window.observeRoundTrip(link.roundTripMs, true, 0);
    run(link, 1_000, [windows[0]!], 0, 32 * KIB);
    const { deliveredBytes, ofEach, queueMs } = run(link, 5_000, windows, 3_000, 32 * KIB);
    expect(deliveredBytes).toBeGreaterThan(0.97 * 5_000 * link.bytesPerMs);
    expect(Math.min(...ofEach)).toBeGreaterThan(0.85 * (deliveredBytes / 4));
    expect(queueMs).toBeLessThan(120);
  });

  it('keeps to its own link where that is the narrow one, whoever else begins or ends to send to the same receiver', () => {
    const pieceBytes = 32 * KIB;
    const link = { bytesPerMs: 1e5, roundTripMs: 36 };
    const sender = fc.record({ bytesPerMs: fc.integer({ min: 500, max: 4_000 }), laterMs: fc.integer({ min: 0, max: 150 }), forMs: fc.integer({ min: 300, max: 450 }) });
    const steadily = (senders: readonly { readonly bytesPerMs: number; readonly laterMs: number; readonly forMs: number }[]) => {
      const own = senders.map(({ forMs, laterMs, bytesPerMs }) => ({ bytesPerMs, laterMs, untilMs: laterMs + forMs }));
      const windows = own.map(() => new SendWindow(OPTIONS));
      const fair = new FairShare();
      // As of a probe: no piece that follows it has a shorter way.
      for (const window of windows) sendOne(link, 1, window, -1_000);
      // The first exchange, in which all send for a while, teaches rates; a piece at the end did not arrive whole.
      for (let exchange = 0; exchange < 5; exchange++) {
        const { inTime } = run({ ...link, fair, own }, 700, windows, 1_000 * exchange, pieceBytes);
        if (exchange > 0) own.forEach(({ bytesPerMs }, i) => expect(inTime[i]! + pieceBytes).toBeGreaterThan(0.8 * bytesPerMs * (senders[i]!.forMs - link.roundTripMs / 2)));
      }
    };
    fc.assert(fc.property(fc.array(sender, { minLength: 2, maxLength: 4 }), steadily), { examples: [[[{ bytesPerMs: 1_067, laterMs: 295, forMs: 352 }, { bytesPerMs: 524, laterMs: 54, forMs: 384 }]]], numRuns: 50 });
  });

  it('fills a link whose acknowledgements are late, and no queue by it', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 6_250, roundTripMs: 41 };
    window.observeRoundTrip(link.roundTripMs, true, 0);
    run(link, 1_000, [window]);
    const { deliveredBytes, queueMs } = run({ ...link, acknowledgementMs: 120 }, 5_000, [window], 5_000);
    expect(deliveredBytes).toBeGreaterThan(0.95 * 5_000 * link.bytesPerMs);
    expect(queueMs).toBeLessThan(100);
  });

  it('makes no room after a pause for acknowledgements that were late before it', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 6_250, roundTripMs: 41 };
    window.observeRoundTrip(link.roundTripMs, true, 0);
    run(link, 1_000, [window]);
    run({ ...link, acknowledgementMs: 120 }, 2_000, [window], 5_000);
    expect(window.bytes).toBeGreaterThan(800 * KIB);
    const { queueMs } = run(link, 1_000, [window], 8_000);
    expect(queueMs).toBeLessThan(90);
  });

  it('does not fill the queue at once, neither after a pause nor when acknowledgements come in bursts', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 6_250, roundTripMs: 41 };
    window.observeRoundTrip(link.roundTripMs, true, 0);
    run(link, 1_000, [window]);
    expect(run(link, 40, [window], 3_000).queueMs).toBeLessThan(40);
    const { deliveredBytes, queueMs } = run({ ...link, burstEveryMs: 60 }, 3_000, [window], 5_000);
    expect(deliveredBytes).toBeGreaterThan(0.95 * 3_000 * link.bytesPerMs);
    expect(queueMs).toBeLessThan(80);
  });

  it('leaves room in a queue that all begin to fill at once', () => {
    const windows = Array.from({ length: 4 }, () => new SendWindow(OPTIONS));
    const link = { bytesPerMs: 6_250, roundTripMs: 41, fair: new FairShare() };
    for (const window of windows) window.observeRoundTrip(link.roundTripMs, true, 0);
    run(link, 5_000, windows, 0, 32 * KIB);
    expect(run(link, 20, windows, 7_000, 32 * KIB).queueMs).toBeLessThan(50);
  });

  it('takes what others had queued before its first piece for no distance', () => {
    const windows = Array.from({ length: 4 }, () => new SendWindow(OPTIONS));
    const link = { bytesPerMs: 6_250, roundTripMs: 41, fair: new FairShare() };
    for (const window of windows) window.observeRoundTrip(link.roundTripMs, true, 0);
    for (let exchange = 0; exchange < 10; exchange++) {
      // Each begins when those before it have.
      run(link, 500, windows, 12_000 * exchange, 32 * KIB);
      windows.push(windows.shift()!);
    }
    expect(Math.max(...windows.map(({ shortestRoundTripMs }) => shortestRoundTripMs))).toBeLessThan(50);
  });

  it('is as large after a pause as before', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 6_250, roundTripMs: 80 };
    run(link, 2_000, [window]);
    const before = window.bytes;
    run(link, 160, [window], 30_000);
    expect(window.bytes).toBeGreaterThan(0.8 * before);
  });

  it('takes what little the application sends for no rate of the link', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 6_250, roundTripMs: 41 };
    window.observeRoundTrip(link.roundTripMs, true, 0);
    for (const bytes of [1, 16 * KIB]) for (let fromMs = 0; fromMs < 2_000; fromMs += 100) sendOne(link, bytes, window, fromMs);
    expect(run(link, 1_000, [window], 5_000).deliveredBytes).toBeGreaterThan(0.85 * 1_000 * link.bytesPerMs);
    for (let fromMs = 10_000; fromMs < 12_000; fromMs += 100) sendOne(link, 16 * KIB, window, fromMs);
    expect(run(link, 1_000, [window], 15_000).deliveredBytes).toBeGreaterThan(0.95 * 1_000 * link.bytesPerMs);
  });

  it('sends what is little at once, whoever else sends to the same receiver now and then', () => {
    const links = [
      { bytesPerMs: 1_000, roundTripMs: 35 },
      { bytesPerMs: 1_000, roundTripMs: 35 },
      { bytesPerMs: 1_875, roundTripMs: 40 },
      { bytesPerMs: 1_250, roundTripMs: 60 },
    ];
    const rounds = 40;
    const stallMost = 45;
    const pieces = fc.integer({ min: 1, max: 8 });
    const times = fc.array(fc.integer({ min: 0, max: 80 }), { minLength: links.length * rounds, maxLength: links.length * rounds });
    const stalls = fc.array(fc.integer({ min: 0, max: stallMost }), { minLength: 50, maxLength: 50 });
    fc.assert(
      fc.property(pieces, times, stalls, (count, laterMs, stallMs) => {
        // At the beginning of every 200 ms.
        const stands: Stands = (atMs) => Math.max(0, stallMs[Math.floor(atMs / 200) % stallMs.length]! - (atMs % 200));
        const windows = links.map(() => new SendWindow(OPTIONS));
        // As of probes: rates are known, and no piece that follows has a shorter way.
        links.forEach((link, i) => {
          sendOne(link, 1, windows[i]!, 0);
          run(link, 500, [windows[i]!], 1_000 * (i + 1), 32 * KIB);
        });
        const message = [...Array.from({ length: count }, () => 32 * KIB), 18 * KIB];
        const messages = links.map((_, i) => Array.from({ length: rounds }, (__, round) => ({ pieces: message, atMs: 10_000 + (250 + 50 * count) * round + laterMs[rounds * i + round]! })));
        for (const late of sendMessages(links, messages, stands, windows, new FairShare())) {
          expect(late).toHaveLength(rounds);
          expect(Math.max(...late)).toBeLessThan(2 * stallMost);
        }
      }),
      { numRuns: 50, examples: [[1, Array<number>(links.length * rounds).fill(0), Array<number>(50).fill(0)]] },
    );
  });

  it('is large between near peers, where processors are the bottleneck and small messages would keep them so', () => {
    const window = new SendWindow(OPTIONS);
    run({ bytesPerMs: 100_000, roundTripMs: 0.3 }, 1_000, [window], 0, 32 * KIB);
    expect(window.bytes).toBeGreaterThanOrEqual(4 * KIB * KIB);
  });

  it('lets one piece go whatever its size', () => {
    const window = new SendWindow(OPTIONS);
    expect(window.hasRoom(10 * OPTIONS.mostBytes)).toBe(true);
    window.sent(10 * OPTIONS.mostBytes, 0);
    expect(window.hasRoom(1)).toBe(false);
  });

  it('believes in a longer way by and by, and only when its own bytes were not queued', () => {
    const window = new SendWindow(OPTIONS);
    const link = { bytesPerMs: 10_000, roundTripMs: 20 };
    run(link, 1_000, [window]);
    const near = window.bytes;
    const farther = { ...link, roundTripMs: 200 };
    run(farther, 5_000, [window], 20_000);
    expect(window.bytes).toBeLessThanOrEqual(3 * near);
    for (let round = 1; round < 15; round++) run(farther, 500, [window], 20_000 + 11_000 * round);
    run(farther, 5_000, [window], 300_000);
    expect(window.bytes).toBeGreaterThan(5 * near);
  });
});
