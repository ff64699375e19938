import { LongtailError, type Connection, type ConnectionHandlers, type OutgoingTensor, type TensorChunk, type TensorHeader } from '@longtail/core';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

/** Two ends of one connection, not started. */
export interface ConnectionPair<Left, Right> {
  readonly left: Connection<Left, Right>;
  readonly right: Connection<Right, Left>;
  /** Frees what the pair holds, whatever state it is in. */
  dispose(): Promise<void>;
}

export interface ConnectionSubject<Left, Right> {
  open(): Promise<ConnectionPair<Left, Right>>;
  /** Distinct messages for distinct numbers. */
  leftMessage(number: number): Left;
  rightMessage(number: number): Right;
  /** Lets time pass until the promise settles; for a virtual clock. */
  settle?<T>(promise: Promise<T>): Promise<T>;
}

/** Chunks that a sender may hand to the link while the peer's application takes none: what every implementation must bound. */
const MOST_CHUNKS_AHEAD = 64;

const CHUNK_LENGTH = 1_000;

/** What every Connection does, live or simulated. */
export function connectionConformance<Left, Right>(name: string, subject: ConnectionSubject<Left, Right>): void {
  const settle = <T>(promise: Promise<T>): Promise<T> => subject.settle?.(promise) ?? promise;

  describe(`${name} is a connection`, () => {
    let open: ConnectionPair<Left, Right> | undefined;

    afterEach(async () => {
      await open?.dispose();
      open = undefined;
    });

    async function started(handlers: Partial<ConnectionHandlers<Left>> = {}) {
      open = await subject.open();
      const left = new Recorder<Right>();
      const right = new Recorder<Left>(handlers);
      open.left.start(left);
      open.right.start(right);
      return { left: open.left, right: open.right, leftSeen: left, rightSeen: right };
    }

    it('delivers messages in order, both ways at once', async () => {
      const { left, right, leftSeen, rightSeen } = await started();
      for (let number = 0; number < 50; number++) {
        left.send(subject.leftMessage(number));
        right.send(subject.rightMessage(number));
      }
      await settle(Promise.all([leftSeen.messageCount(50), rightSeen.messageCount(50)]));
      expect(rightSeen.messages).toEqual(range(50).map((number) => subject.leftMessage(number)));
      expect(leftSeen.messages).toEqual(range(50).map((number) => subject.rightMessage(number)));
    });

    it('delivers nothing before start, and everything after', async () => {
      open = await subject.open();
      const seen = new Recorder<Left>();
      const sent = open.left.sendTensor(tensorOf(ramp(10)), never());
      open.left.send(subject.leftMessage(1));
      open.left.start(new Recorder<Right>());
      expect(seen.messages).toEqual([]);
      open.right.start(seen);
      await settle(Promise.all([sent, seen.messageCount(1)]));
      expect(seen.messages).toEqual([subject.leftMessage(1)]);
      expect(seen.received()).toEqual(ramp(10));
    });

    it('carries tensors bit for bit, whatever their length and chunks', async () => {
      const { left, right, leftSeen, rightSeen } = await started();
      const shapes = fc.record({ values: fc.uint8Array({ maxLength: 400 }), chunkValues: fc.integer({ min: 1, max: 150 }) });
      await fc.assert(
        fc.asyncProperty(shapes, fc.boolean(), async ({ values, chunkValues }, fromLeft) => {
          const [sender, seen] = fromLeft ? [left, rightSeen] : [right, leftSeen];
          seen.chunks.length = 0;
          await settle(sender.sendTensor(bytesTensor(values, chunkValues), never()));
          expect(seen.received()).toEqual(values);
          expectNumbered(seen.chunks.map(({ header }) => header), values.length, chunkValues);
        }),
        { numRuns: 25 },
      );
    });

    it('keeps the header that the sender wrote', async () => {
      const { left, rightSeen } = await started();
      const header = { ...HEADER, kind: 'parameters', stage: 3, fragment: 4, task: 5, round: 6, baseVersion: 7, samples: 8, codec: 2, name: 'n', start: 9 } as const;
      await settle(left.sendTensor({ ...tensorOf(ramp(1)), header }, never()));
      expect(rightSeen.chunks[0]!.header).toMatchObject(header);
    });

    it('gives the next chunk when the last one was taken, and resolves when all were', async () => {
      let running = 0;
      let taken = 0;
      const { left } = await started({
        tensor: async () => {
          expect(++running).toBe(1);
          await Promise.resolve();
          running--;
          taken++;
        },
      });
      await settle(left.sendTensor(tensorOf(ramp(10 * CHUNK_LENGTH)), never()));
      expect(taken).toBe(10);
    });

    it('asks for few chunks while the peer takes none', async () => {
      let release = (): void => undefined;
      const gate = new Promise<void>((resolve) => (release = resolve));
      const { left, right, leftSeen } = await started({ tensor: () => gate });
      const values = new Uint8Array(200 * 1024 * 1024);
      let asked = 0;
      const big: OutgoingTensor = {
        header: HEADER,
        length: values.length,
        chunkLength: 1024 * 1024,
        chunk: (offset, length) => (asked++, values.subarray(offset, offset + length)),
      };
      const abort = new AbortController();
      const sent = left.sendTensor(big, abort.signal);
      right.send(subject.rightMessage(1));
      await settle(leftSeen.messageCount(1));
      expect(asked).toBeLessThanOrEqual(MOST_CHUNKS_AHEAD);
      abort.abort(new Error('enough'));
      release();
      await expect(settle(sent)).rejects.toThrow('enough');
      expect(asked).toBeLessThanOrEqual(MOST_CHUNKS_AHEAD);
    });

    it('carries two tensors at once', async () => {
      const { left, rightSeen } = await started();
      const tensors = [1, 2].map((task) => ({ ...tensorOf(ramp(5 * CHUNK_LENGTH, task)), header: { ...HEADER, task } }));
      await settle(Promise.all(tensors.map((tensor) => left.sendTensor(tensor, never()))));
      for (const task of [1, 2]) expect(rightSeen.received(task)).toEqual(ramp(5 * CHUNK_LENGTH, task));
    });

    it('lends payloads for as long as the application takes', async () => {
      const seen: number[] = [];
      const { left } = await started({
        place: () => 'borrow',
        tensor: async ({ payload }) => {
          await Promise.resolve();
          seen.push(...payload);
        },
      });
      await settle(left.sendTensor(tensorOf(ramp(3 * CHUNK_LENGTH)), never()));
      expect(seen).toEqual([...ramp(3 * CHUNK_LENGTH)]);
    });

    it('puts payloads where the application wants them', async () => {
      const placed = new Uint8Array(3 * CHUNK_LENGTH);
      const seen: Uint8Array[] = [];
      const { left } = await started({
        place: ({ offset }, bytes) => placed.subarray(offset, offset + bytes),
        tensor: ({ payload }) => void seen.push(payload),
      });
      await settle(left.sendTensor(tensorOf(ramp(3 * CHUNK_LENGTH)), never()));
      expect(placed).toEqual(ramp(3 * CHUNK_LENGTH));
      expect(seen.every(({ buffer }) => buffer === placed.buffer)).toBe(true);
    });

    it('gives up a tensor when told to, and stays of use', async () => {
      const { left, rightSeen } = await started();
      const abort = new AbortController();
      const reason = new Error('another round');
      const tensor = tensorOf(ramp(20 * CHUNK_LENGTH));
      const chunk = (offset: number, length: number): Uint8Array => {
        if (offset >= 3 * CHUNK_LENGTH) abort.abort(reason);
        return tensor.chunk(offset, length);
      };
      await expect(settle(left.sendTensor({ ...tensor, chunk }, abort.signal))).rejects.toBe(reason);
      await expect(settle(left.sendTensor(tensor, AbortSignal.abort(reason)))).rejects.toBe(reason);
      rightSeen.chunks.length = 0;
      await settle(left.sendTensor({ ...tensorOf(ramp(10)), header: { ...HEADER, task: 2 } }, never()));
      expect(rightSeen.received(2)).toEqual(ramp(10));
    });

    it('rejects a tensor that cannot be coded, and stays of use', async () => {
      const { left, rightSeen } = await started();
      const broken: OutgoingTensor = {
        ...tensorOf(ramp(10)),
        chunk: () => {
          throw new Error('no such block');
        },
      };
      await expect(settle(left.sendTensor(broken, never()))).rejects.toThrow('no such block');
      await settle(left.sendTensor(tensorOf(ramp(10)), never()));
      expect(rightSeen.received()).toEqual(ramp(10));
    });

    it('closes after what was sent, tells both ends once, and rejects what was not delivered', async () => {
      const { left, right, leftSeen, rightSeen } = await started({ tensor: () => new Promise(() => undefined) });
      const unfinished = left.sendTensor(tensorOf(ramp(10)), never());
      const rejected = expect(settle(unfinished)).rejects.toMatchObject({ code: 'unreachable' });
      left.send(subject.leftMessage(1));
      left.close('lunch');
      left.send(subject.leftMessage(2));
      await rejected;
      await settle(Promise.all([leftSeen.closing, rightSeen.closing]));
      expect(rightSeen.messages).toEqual([subject.leftMessage(1)]);
      left.close('again');
      right.close('and again');
      right.send(subject.rightMessage(1));
      await expect(settle(right.sendTensor(tensorOf(ramp(1)), never()))).rejects.toBeInstanceOf(LongtailError);
      expect(leftSeen.reasons).toEqual(['lunch']);
      expect(rightSeen.reasons).toEqual(['lunch']);
      expect(leftSeen.messages).toEqual([]);
    });

    it('tells of an end that came before start', async () => {
      open = await subject.open();
      const seen = new Recorder<Left>();
      const leftSeen = new Recorder<Right>();
      open.left.start(leftSeen);
      open.left.close('too late');
      await settle(leftSeen.closing);
      open.right.start(seen);
      await settle(seen.closing);
      expect(seen.reasons).toEqual(['too late']);
    });

    it('ends when the application cannot take a chunk', async () => {
      const { left, leftSeen, rightSeen } = await started({
        tensor: () => {
          throw new Error('no place for it');
        },
      });
      await expect(settle(left.sendTensor(tensorOf(ramp(10)), never()))).rejects.toMatchObject({ code: 'unreachable' });
      await settle(Promise.all([leftSeen.closing, rightSeen.closing]));
      expect(leftSeen.reasons[0]).toContain('no place for it');
    });

    it('counts the bytes of tensors', async () => {
      const { left, right } = await started();
      await settle(left.sendTensor(tensorOf(ramp(10 * CHUNK_LENGTH)), never()));
      for (const bytes of [left.traffic.bytesSent, right.traffic.bytesReceived]) {
        expect(bytes).toBeGreaterThan(10 * CHUNK_LENGTH);
        expect(bytes).toBeLessThan(12 * CHUNK_LENGTH);
      }
    });
  });
}

/** Handlers that remember what they were given. */
class Recorder<Receive> implements ConnectionHandlers<Receive> {
  readonly messages: Receive[] = [];
  readonly chunks: TensorChunk[] = [];
  readonly reasons: string[] = [];
  readonly closing: Promise<void>;
  readonly place: ConnectionHandlers<Receive>['place'];
  private closeSeen!: () => void;
  private awaited: { count: number; resolve(): void } | undefined;

  constructor(private readonly own: Partial<ConnectionHandlers<Receive>> = {}) {
    this.closing = new Promise((resolve) => (this.closeSeen = resolve));
    this.place = own.place;
  }

  message(message: Receive): void {
    this.messages.push(message);
    if (this.awaited !== undefined && this.messages.length >= this.awaited.count) this.awaited.resolve();
  }

  tensor(chunk: TensorChunk): void | Promise<void> {
    if (this.own.tensor !== undefined) return this.own.tensor(chunk);
    this.chunks.push(chunk);
  }

  closed(reason: string): void {
    this.reasons.push(reason);
    this.closeSeen();
  }

  messageCount(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.messages.length >= count) resolve();
      else this.awaited = { count, resolve };
    });
  }

  /** The bytes of a task's chunks, in the order of their arrival. */
  received(task = HEADER.task): Uint8Array {
    const payloads = this.chunks.filter(({ header }) => header.task === task).map(({ payload }) => payload);
    const bytes = new Uint8Array(payloads.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const payload of payloads) {
      bytes.set(payload, at);
      at += payload.length;
    }
    return bytes;
  }
}

const HEADER: OutgoingTensor['header'] = {
  run: 'run-1',
  kind: 'gradient',
  stage: 0,
  fragment: 0,
  task: 1,
  round: 1,
  baseVersion: 0,
  samples: 1,
  codec: 0,
  name: '',
  start: 0,
};

/** One byte a value: tensors here are about bytes, not numbers. */
function tensorOf(values: Uint8Array): OutgoingTensor {
  return bytesTensor(values, CHUNK_LENGTH);
}

function bytesTensor(values: Uint8Array, chunkLength: number): OutgoingTensor {
  return { header: HEADER, length: values.length, chunkLength, chunk: (offset, length) => values.subarray(offset, offset + length) };
}

function expectNumbered(headers: readonly TensorHeader[], length: number, chunkLength: number): void {
  const chunks = Math.max(1, Math.ceil(length / chunkLength));
  expect(headers.map(({ chunk }) => chunk)).toEqual(range(chunks));
  for (const header of headers) {
    expect(header).toMatchObject({ chunks, offset: header.chunk * chunkLength, length: Math.min(chunkLength, length - header.chunk * chunkLength) });
  }
}

function ramp(length: number, step = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * step + (index >> 8));
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function never(): AbortSignal {
  return new AbortController().signal;
}
