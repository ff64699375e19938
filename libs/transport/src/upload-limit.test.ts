import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { framesOf } from './link-message.js';
import { Payloads } from './payloads.js';
import { crc32c, noise, tensorOfBytes } from './testing/fixtures.js';
import { TensorLink } from './tensor-link.js';
import { wireBytes } from './token-bucket.js';
import { UploadLimit } from './upload-limit.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const MIB = 1024 * 1024;
const forever = new AbortController().signal;

/** A sender whose pieces are acknowledged a round trip of 10 ms later. */
function openSender(uploadLimit: UploadLimit, posted: (bytes: number) => void): TensorLink {
  const nowMs = (): number => Date.now();
  const failed = (error: Error): void => expect.unreachable(error.message);
  const common = { session: 1, payloads: new Payloads(crc32c, undefined), crc32c, nowMs, failed };
  const carry = (to: () => TensorLink) => (parts: readonly Uint8Array[]) =>
    void setTimeout(() => {
      for (const { frame, frameBytes, payload } of framesOf(parts)) to().receive(frame, frameBytes, payload);
    }, 5);
  const sender: TensorLink = new TensorLink({
    ...common,
    uploadLimit,
    post: (parts) => {
      posted(parts.reduce((sum, part) => sum + part.length, 0));
      carry(() => receiver)(parts);
    },
  });
  const receiver: TensorLink = new TensorLink({ ...common, post: carry(() => sender) });
  receiver.start({ tensor: () => undefined });
  receiver.open(false, undefined);
  sender.open(false, undefined);
  return sender;
}

it.each([1e6, 10e6, 200e6])('all links of a process together send at %d bit/s, headers counted, and never a burst', async (bitsPerSecond) => {
  const posts: { atMs: number; bytes: number }[] = [];
  const limit = new UploadLimit(bitsPerSecond);
  const startMs = Date.now();
  const senders = [1, 2].map(() => openSender(limit, (bytes) => void posts.push({ atMs: Date.now() - startMs, bytes: wireBytes(bytes) })));
  const sent = Promise.allSettled(senders.map((sender, task) => sender.send(tensorOfBytes(noise(16 * MIB, task), task), forever)));
  const ms = 500;
  await vi.advanceTimersByTimeAsync(ms);
  const allowed = (8000 * 2 * wireBytes(16 * MIB)) / bitsPerSecond < ms ? 2 * wireBytes(16 * MIB) : (bitsPerSecond * ms) / 8000;
  const sentBytes = posts.reduce((sum, { bytes }) => sum + bytes, 0);
  const burst = wireBytes(2 * limit.pieceBytes) + 1_000;
  expect(sentBytes).toBeLessThanOrEqual(allowed + burst);
  expect(sentBytes).toBeGreaterThan(0.9 * allowed);
  for (let fromMs = 0; fromMs < ms - 50; fromMs += 25) {
    const inWindow = posts.filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + 50).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(inWindow).toBeLessThanOrEqual((bitsPerSecond * 50) / 8000 + burst);
  }
  for (const sender of senders) sender.end(new Error('over') as never);
  await sent;
});
