import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { Session, type SessionOptions } from './session.js';

class FakeStream extends EventEmitter {
  readonly writableLength = 0;
  readonly written: unknown[] = [];
  write(packet: unknown): boolean {
    return this.written.push(packet) > 0;
  }
  end(): void {}
  pause(): void {}
  resume(): void {}
}

it('ends when the peer floods it with messages', async () => {
  const stream = new FakeStream();
  const link = { start: () => undefined, end: () => undefined } as unknown as SessionOptions<string, string>['link'];
  const session = new Session<string, string>({
    peer: 'a flooder',
    stream,
    link,
    validate: () => ({ packet: 'message', message: 'x' }),
    outgoing: (message) => message,
    release: () => undefined,
  });
  let received = 0;
  const closed = new Promise<string>((resolve) => session.start({ message: () => void received++, tensor: () => undefined, closed: resolve }));
  // Twice the bound: one second's end may lie between.
  for (let i = 0; i <= 20_000; i++) stream.emit('data', {});
  expect(await closed).toContain('more than 10000 messages a second');
  expect(received).toBeLessThan(20_001);
  expect(stream.written).toMatchObject([{ packet: 'close' }]);
});
