import { expect, it } from 'vitest';
import { messageArrived } from './message-memory.js';

const MESSAGE_BYTES = 64 * 1024;
/** Three collections' worth and a bit: V8 frees on a thread of its own, which may have no core until the next collection. Without ours it takes 30 to 50 MB. */
const MOST_HELD_BYTES = 27 * 1024 * 1024;

it('frees messages that nobody holds any more, without a collection of the whole heap', () => {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let message = 0; message < 1_000; message++) {
    messageArrived(MESSAGE_BYTES);
    Buffer.allocUnsafeSlow(MESSAGE_BYTES);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(most).toBeLessThan(MOST_HELD_BYTES);
});
