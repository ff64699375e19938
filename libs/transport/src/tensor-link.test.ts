import { LongtailError, type OutgoingTensor, type TensorChunk } from '@longtail/core';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { framesOf } from './link-message.js';
import { Payloads } from './payloads.js';
import { PeerSegment } from './peer-segment.js';
import { TensorLink } from './tensor-link.js';
import { createTensorMemory, NO_SEGMENT, type TensorMemory } from './tensor-memory.js';
import { crc32c, inMemory, noise, tensorOfBytes } from './testing/fixtures.js';

const MIB = 1024 * 1024;
const forever = new AbortController().signal;

interface Ends {
  readonly sender: TensorLink;
  readonly receiver: TensorLink;
  readonly payloads: Payloads;
  readonly failures: string[];
  /** Carries messages until there are none; false when a seeded choice says that this direction waits. */
  carry(chooses?: () => boolean): Promise<void>;
  /** Carries messages until that is settled: a sender that paces itself goes on by a timer of its own. */
  carryUntil(settled: Promise<unknown>): Promise<void>;
  /** Messages on their way to the receiver. */
  readonly toReceiver: Uint8Array[][];
}

/** Two ends joined by two queues in memory, on a clock that a test moves. */
function join(memory?: TensorMemory): Ends {
  let nowMs = 0;
  const failures: string[] = [];
  const payloads = new Payloads(crc32c, memory);
  const [toReceiver, toSender]: Uint8Array[][][] = [[], []];
  const end = (post: Uint8Array[][], own: Payloads): TensorLink =>
    new TensorLink({
      session: 1,
      payloads: own,
      crc32c,
      nowMs: () => nowMs,
      post: (parts) => void post.push([...parts]),
      failed: (error) => void failures.push(error.message),
    });
  const sender = end(toReceiver, payloads);
  const receiver = end(toSender, new Payloads(crc32c, undefined));
  sender.open(memory !== undefined, undefined);
  receiver.open(false, memory && PeerSegment.open(memory.segment));
  const carry = async (chooses = (): boolean => true): Promise<void> => {
    for (let idle = 0; idle < 3; ) {
      nowMs += 5;
      const [queue, link] = chooses() ? [toReceiver, receiver] : [toSender, sender];
      const message = queue.shift() ?? (queue === toReceiver ? toSender.shift() : undefined);
      if (message === undefined) idle++;
      else {
        idle = 0;
        const target = queue === toReceiver && message[0] !== undefined && isForSender(message) ? sender : link;
        for (const { frame, frameBytes, payload } of framesOf(message)) target.receive(frame, frameBytes, payload);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const carryUntil = async (settled: Promise<unknown>): Promise<void> => {
    let isSettled = false;
    const done = settled.finally(() => (isSettled = true));
    while (!isSettled) await carry();
    await done;
  };
  return { sender, receiver, payloads, failures, carry, carryUntil, toReceiver };
}

interface TimedLink {
  readonly bytesPerMs: number;
  readonly roundTripMs: number;
}

/** Two ends joined by a link of that rate, in fake time. Acknowledgements take their way and no room. */
function joinTimed({ bytesPerMs, roundTripMs }: TimedLink) {
  let freeAtMs = 0;
  const end = (other: () => TensorLink): TensorLink =>
    new TensorLink({
      session: 1,
      payloads: new Payloads(crc32c, undefined),
      crc32c,
      nowMs: () => Date.now(),
      post: ([head, payload]) => {
        freeAtMs = Math.max(freeAtMs, Date.now()) + (payload?.length ?? 0) / bytesPerMs;
        const arrive = () => [...framesOf(payload ? [head!, payload] : [head!])].forEach(({ frame, frameBytes, payload }) => other().receive(frame, frameBytes, payload));
        setTimeout(arrive, freeAtMs - Date.now() + roundTripMs / 2);
      },
      failed: (error) => expect.unreachable(error.message),
    });
  const sender: TensorLink = end(() => receiver);
  const receiver: TensorLink = end(() => sender);
  sender.open(false, undefined);
  receiver.open(false, undefined);
  receiver.start({ tensor: () => undefined });
  const sendMs = async (tensor: OutgoingTensor): Promise<number> => {
    const fromMs = Date.now();
    let tookMs: number | undefined;
    void sender.send(tensor, forever).then(() => (tookMs = Date.now() - fromMs));
    while (tookMs === undefined) await vi.advanceTimersByTimeAsync(1);
    return tookMs;
  };
  return { sender, sendMs };
}

function isForSender(message: Uint8Array[]): boolean {
  return [...framesOf(message)].some(({ frame }) => frame.frame === 'taken' || frame.frame === 'received');
}

function bytesOf(chunks: readonly TensorChunk[]): Buffer {
  return Buffer.concat(chunks.map(({ payload }) => payload));
}

afterEach(() => void vi.useRealTimers());

describe('a tensor link', () => {
  it('cuts a chunk into pieces of 32 KiB while it knows nothing of the link, and into larger ones on a fast link', async () => {
    const { sender, receiver, carryUntil, toReceiver } = join();
    const chunks: TensorChunk[] = [];
    receiver.start({ tensor: (chunk) => void chunks.push(chunk) });
    const bytes = noise(20 * MIB, 1);
    const sent = sender.send(tensorOfBytes(bytes), forever);
    expect(toReceiver.map(([, payload]) => payload!.length)).toEqual([32 * 1024, 32 * 1024]);
    await carryUntil(sent);
    expect(bytesOf(chunks).equals(bytes)).toBe(true);
  });

  it('delivers every byte once, in order, whatever the order of turns', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.boolean()), async (sizes, turns) => {
        const { sender, receiver, carry, carryUntil, failures } = join();
        const chunks: TensorChunk[] = [];
        receiver.start({ tensor: async (chunk) => (await Promise.resolve(), void chunks.push(chunk)) });
        const tensors = sizes.map((size, index) => ({ ...tensorOfBytes(noise(size, index + 1), index), chunkLength: 100_000 }));
        const sent = Promise.all(tensors.map((tensor) => sender.send(tensor, forever)));
        await carry(() => turns.next().value);
        await carryUntil(sent);
        sizes.forEach((size, task) => {
          expect(bytesOf(chunks.filter(({ header }) => header.task === task)).equals(noise(size, task + 1))).toBe(true);
        });
        expect(failures).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  it('fills a link with small chunks as it does with large ones', async () => {
    vi.useFakeTimers();
    const link = { bytesPerMs: 12_500, roundTripMs: 12 };
    for (const chunkLength of [4, 16, 20, 64, 1024].map((kib) => kib * 1024)) {
      const { sendMs } = joinTimed(link);
      expect(await sendMs({ ...tensorOfBytes(noise(2 * MIB, 1)), chunkLength })).toBeLessThan(1.3 * ((2 * MIB) / link.bytesPerMs + link.roundTripMs));
    }
  });

  it('says how fast it is by what is sent in earnest: probes met the machine at another time', async () => {
    vi.useFakeTimers();
    const link = { bytesPerMs: 12_500, roundTripMs: 12 };
    const { sender, sendMs } = joinTimed(link);
    const tensor = tensorOfBytes(noise(4 * MIB, 1));
    await sendMs({ ...tensor, header: { ...tensor.header, kind: 'probe' } });
    expect(sender.sending).toBeUndefined();
    await sendMs(tensor);
    expect(sender.sending!.bitsPerSecond / (8000 * link.bytesPerMs)).toBeCloseTo(1, 1);
  });

  const memory = createTensorMemory();
  describe.runIf(memory.segment !== NO_SEGMENT)('between ends of one host', () => {
    it('sends only where shared bytes lie, a chunk in one piece, and all of other bytes', async () => {
      const { sender, receiver, carryUntil, toReceiver } = join(memory);
      const bytes = noise(3 * MIB, 5);
      const sent = [inMemory(bytes, memory), bytes].map((each, task) => sender.send(tensorOfBytes(each, task), forever));
      expect(toReceiver.map((message) => message.length)).toEqual([1, 1, 1, 2, 2]);
      const chunks: TensorChunk[] = [];
      receiver.start({ tensor: (chunk) => void chunks.push(chunk) });
      await carryUntil(Promise.all(sent));
      for (const task of [0, 1]) expect(bytesOf(chunks.filter(({ header }) => header.task === task)).equals(bytes)).toBe(true);
      receiver.end(new Error('over') as never);
    });

    it('lends the bytes themselves to an application that borrows, and copies for others', async () => {
      const { sender, receiver, carryUntil } = join(memory);
      const bytes = inMemory(noise(2 * MIB, 6), memory);
      const kept: Uint8Array[] = [];
      receiver.start({
        place: ({ chunk }) => (chunk === 0 ? 'borrow' : undefined),
        tensor: ({ payload }) => void kept.push(payload),
      });
      const sent = sender.send(tensorOfBytes(bytes), forever);
      await carryUntil(sent);
      const before = kept.map(([first]) => first);
      bytes[0]! ^= 255;
      bytes[MIB]! ^= 255;
      expect(kept.map(([first]) => first)).toEqual([before[0]! ^ 255, before[1]]);
      receiver.end(new Error('over') as never);
    });
  });

  it('runs ahead of an application that waits by about a window and a chunk, and goes on when it takes', async () => {
    const { sender, receiver, carry, carryUntil } = join();
    let takes!: () => void;
    const waits = new Promise<void>((resolve) => (takes = resolve));
    receiver.start({ tensor: () => waits });
    const sent = sender.send({ ...tensorOfBytes(noise(4 * MIB, 7)), chunkLength: 16 * 1024 }, forever);
    await carry();
    expect(sender.traffic.bytesSent).toBeGreaterThan(64 * 1024);
    expect(sender.traffic.bytesSent).toBeLessThan(MIB);
    takes();
    await carryUntil(sent);
    expect(sender.traffic.bytesSent).toBeGreaterThan(4 * MIB);
  });

  it('bounds chunks of hardly any bytes that wait for the application, too: a sender keeps to it, and one that does not is cut off', async () => {
    const { sender, toReceiver } = join();
    const settled = Array.from({ length: 20_000 }, (_, task) => sender.send(tensorOfBytes(new Uint8Array(), task), forever).catch((error: Error) => error.message));
    expect(toReceiver.length).toBeGreaterThan(1000);
    expect(toReceiver.length).toBeLessThan(17_000);
    sender.end(new LongtailError('over', { code: 'unreachable' }));
    expect(new Set(await Promise.all(settled))).toEqual(new Set(['over']));

    const hostile = join();
    hostile.receiver.start({ tensor: () => new Promise<void>(() => undefined) });
    const [chunk] = toReceiver;
    const flood = (): void => {
      for (let i = 0; i < 100_000; i++) for (const { frame, frameBytes, payload } of framesOf(chunk!)) hostile.receiver.receive(frame, frameBytes, payload);
    };
    expect(flood).toThrow(/bytes wait, the limit is/);
  });

  it('does not settle an aborted tensor while the link may still read its bytes', async () => {
    const { sender, receiver, carry } = join();
    receiver.start({ tensor: () => undefined });
    const abort = new AbortController();
    let settled = false;
    const sent = sender.send(tensorOfBytes(noise(MIB, 1)), abort.signal);
    const given = expect(sent.finally(() => (settled = true))).rejects.toThrow('stop');
    abort.abort(new Error('stop'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
    await carry();
    await given;
  });

  it('counts headers and payloads', async () => {
    const { sender, receiver, carryUntil } = join();
    receiver.start({ tensor: () => undefined });
    const sent = sender.send(tensorOfBytes(noise(10_000, 1)), forever);
    await carryUntil(sent);
    expect(sender.traffic.bytesSent).toBe(receiver.traffic.bytesReceived);
    expect(sender.traffic.bytesSent).toBeGreaterThan(10_000);
  });

  it('counts nothing of what only measures the link, not even while it is on its way', async () => {
    const { sender, receiver, carry, carryUntil } = join();
    receiver.start({ tensor: () => undefined });
    const { header, ...probe } = tensorOfBytes(noise(MIB, 1));
    const sent = sender.send({ ...probe, header: { ...header, kind: 'probe' }, chunkLength: 16 * 1024 }, forever);
    let steps = 0;
    await carry(() => {
      expect(sender.traffic.bytesSent).toBe(0);
      return ++steps > 0;
    });
    await carryUntil(sent);
    expect(steps).toBeGreaterThan(10);
    expect(receiver.traffic.bytesReceived).toBe(0);
  });
});
