import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DECODING_OPTIONS, messageType } from './descriptor.js';
import type { WorkerMessage } from './generated/messages.js';
import { LIMITS } from './limits.js';
import { validateMessage } from './validate.js';

const device = { engine: 'cpu', description: '', memoryBytes: 1, gflops: 1, throttle: 1 };
const hello = { protocol: 1, name: 'w', incarnation: 'i', device, allowCode: false, peerAddress: '[fe80::1]:4711', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: '', paused: '' };
const task = { run: 'r', task: 1, kind: 'GRADIENT', round: 1, version: 0, ranges: [], steps: [], optimizerSteps: 0, start: 0, end: 0 };

function refusal(name: Parameters<typeof validateMessage>[0], value: unknown): unknown {
  try {
    validateMessage(name, value);
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('validation of messages', () => {
  it('gives what it was given, when that is right', () => {
    const message: WorkerMessage = { message: 'hello', hello };
    expect(validateMessage('WorkerMessage', message)).toBe(message);
  });

  it.each([
    ['WorkerMessage', {}, 'WorkerMessage carries no known message'],
    ['WorkerMessage', { message: 'hello', hello: null }, 'WorkerMessage.hello is missing'],
    ['WorkerMessage', { message: 'hello', hello: { ...hello, device: null } }, 'WorkerMessage.hello.device is missing'],
    ['Hello', { ...hello, name: 'x'.repeat(LIMITS.text + 1) }, `Hello.name has ${LIMITS.text + 1} characters, the limit is ${LIMITS.text}`],
    ['Hello', { ...hello, device: { ...device, gflops: NaN } }, 'Hello.device.gflops is NaN, not a finite number ≥ 0'],
    ['Hello', { ...hello, device: { ...device, memoryBytes: -1 } }, 'Hello.device.memoryBytes is -1, not a finite number ≥ 0'],
    ['Hello', { ...hello, protocol: 1.5 }, 'Hello.protocol is 1.5, not a count'],
    ['Hello', { ...hello, peerAddress: '10.0.0.2' }, 'Hello.peerAddress is "10.0.0.2", not HOST:PORT'],
    ['Hello', { ...hello, peerAddress: '10.0.0.2:0' }, 'Hello.peerAddress is "10.0.0.2:0", not HOST:PORT'],
    ['Hello', { ...hello, allowCode: 'yes' }, 'Hello.allowCode is no boolean'],
    ['Task', { ...task, kind: 'KIND_UNSPECIFIED' }, 'Task.kind is KIND_UNSPECIFIED, not one of INITIALISE, GRADIENT, LOCAL_STEPS, EVALUATE, DELTA, STREAM'],
    ['Task', { ...task, kind: 9 }, 'Task.kind is 9, not one of INITIALISE, GRADIENT, LOCAL_STEPS, EVALUATE, DELTA, STREAM'],
    ['Task', { ...task, ranges: [{ epoch: 1, start: 0, end: 1 }, {}] }, 'Task.ranges[1].epoch is undefined, not a count'],
    ['Task', { ...task, steps: new Array(LIMITS.entries + 1).fill(null) }, `Task.steps has ${LIMITS.entries + 1} entries, the limit is ${LIMITS.entries}`],
    ['WatchRequest', { run: 'r', fromSeq: 2 ** 60 }, `WatchRequest.fromSeq is ${2 ** 60}, not a count`],
  ] as const)('refuses a %s of which a field is wrong, and names it', (name, value, message) => {
    const where = message.split(' ')[0];
    expect(refusal(name, value)).toMatchObject({ code: 'protocol', message, where });
  });

  it('leaves nothing in texts that a terminal would obey, and lines where they are meant', () => {
    const escapes = 'a\u001b[2J\nb\u0000';
    const said = { ...hello, name: escapes, device: { ...device, description: escapes }, paused: escapes };
    expect(validateMessage('Hello', said)).toMatchObject({ name: 'a [2J b ', device: { description: 'a [2J b ' }, paused: 'a [2J\nb ' });
    expect(validateMessage('Fleet', { nodes: [escapes], beside: [] })).toEqual({ nodes: ['a [2J\nb '], beside: [] });
    const body = { seq: 1, timeMs: 1, bodyJson: '"\\u001b"\n' };
    expect(validateMessage('StoredEvent', { ...body })).toEqual(body);
  });

  it('lets a diverged loss through', () => {
    const done = { run: 'r', task: 1, samples: 1, targets: 1, lossSum: NaN, correct: 0, computeMs: 1, prepareMs: 0, steps: 0, elapsedMs: 1, peerBytesUp: 0, peerBytesDown: 0, encodeMs: 0 };
    expect(refusal('TaskDone', done)).toBeUndefined();
  });

  it('meets whatever bytes a peer sends with a message or a LongtailError', () => {
    const type = messageType('ServerPacket');
    const decode = (bytes: Uint8Array): unknown => {
      try {
        return type.toObject(type.decode(bytes), { ...DECODING_OPTIONS });
      } catch {
        return undefined;
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const error = refusal('ServerPacket', decode(bytes));
        if (error !== undefined) expect(error).toMatchObject({ code: 'protocol' });
      }),
      { numRuns: 500 },
    );
  });
});
