import type { OutgoingTensor, TensorHeader } from '@longtail/core';
import { expect, test } from 'vitest';
import { Relay } from './relay.js';

const header = (task: number, chunk: number): TensorHeader => ({
  run: 'r',
  kind: 'activation',
  stage: 1,
  fragment: 0,
  task,
  round: 1,
  baseVersion: 0,
  samples: 1,
  codec: 2,
  name: '40x4',
  start: 0,
  chunk,
  chunks: 40,
  offset: 4 * chunk,
  length: 4,
  crc: 9,
});

function setUp() {
  const sent: { readonly tensor: OutgoingTensor; taken(): void }[] = [];
  const relay = new Relay({
    sendTensor: (tensor, signal) =>
      new Promise((taken, reject) => {
        sent.push({ tensor, taken });
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  });
  return { relay, sent };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a chunk goes on undecoded, as a tensor that says where its values lie', async () => {
  const { relay, sent } = setUp();
  const payload = Uint8Array.of(1, 2, 3);
  await relay.forward({ header: header(1, 3), payload });
  const { tensor } = sent[0]!;
  expect(tensor).toMatchObject({ length: 4, chunkLength: 4, header: { kind: 'activation', task: 1, start: 12, codec: 2, name: '40x4' } });
  expect(tensor.chunk(0, 4)).toBe(payload);
});

test('who sends more than is taken is held up; the end of the task lets go of everything', async () => {
  const { relay, sent } = setUp();
  let accepted = 0;
  for (let chunk = 0; chunk < 40; chunk++) void relay.forward({ header: header(1, chunk), payload: new Uint8Array(1) }).then(() => accepted++);
  await settled();
  expect([sent.length, accepted]).toEqual([16, 16]);
  sent[0]!.taken();
  await settled();
  expect([sent.length, accepted]).toEqual([17, 17]);
  relay.drop(1);
  await settled();
  expect([sent.length, accepted]).toEqual([17, 40]);
  await relay.forward({ header: header(2, 0), payload: new Uint8Array(1) });
  expect(sent).toHaveLength(18);
  relay.close();
  await relay.forward({ header: header(2, 1), payload: new Uint8Array(1) });
  expect(sent).toHaveLength(18);
});
