import type { OutgoingTensor } from '@longtail/core';
import { expect, test } from 'vitest';
import type { EncodedTensor } from './encoded-tensor.js';
import type { Session } from './membership.js';
import type { Published } from './outgoing-parameters.js';
import { Recipient, type RecipientHost } from './recipient.js';
import type { Segment } from './segments.js';

/** Of one segment. */
function published(version: number): Published {
  const tensor = { version, codecId: 0, outgoing: (header: OutgoingTensor['header']) => ({ header }), hold: () => undefined, release: () => undefined };
  return { version, kind: 'parameters', segments: [], first: 0, tensors: [tensor as unknown as EncodedTensor], exact: true };
}

function recipient() {
  const sent: { readonly version: number; readonly signal: AbortSignal; arrive(): void }[] = [];
  const sendTensor = ({ header }: OutgoingTensor, signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      sent.push({ version: header.baseVersion, signal, arrive: resolve });
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  const host = { run: 'r', clock: { nowMs: () => 0 }, advanced: () => undefined, files: [] } as unknown as RecipientHost;
  const own = new Recipient({ connection: { sendTensor } } as unknown as Session, host);
  own.segments = [{ segment: { index: 0 } as Segment, start: 0 }];
  return { own, sent };
}

test('a version that is on its way is not sent once more when the model is cut otherwise', async () => {
  const { own, sent } = recipient();
  own.supply(published(6));
  own.supply(published(6));
  expect(sent.map(({ version, signal }) => [version, signal.aborted])).toEqual([[6, false]]);
  sent[0]!.arrive();
  await new Promise((resolve) => setImmediate(resolve));
  expect(own.holds(6, true)).toBe(true);
});

test('a newer one takes its place', () => {
  const { own, sent } = recipient();
  own.supply(published(6));
  own.supply(published(7));
  expect(sent.map(({ version, signal }) => [version, signal.aborted])).toEqual([
    [6, true],
    [7, false],
  ]);
});
