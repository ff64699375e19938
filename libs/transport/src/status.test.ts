import { LongtailError } from '@longtail/core';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { fromStatus, toStatus } from './status.js';

function received(carried?: string): ServiceError {
  const metadata = new Metadata();
  if (carried !== undefined) metadata.set('longtail-error-bin', Buffer.from(carried));
  return Object.assign(new Error('failed'), { code: status.INTERNAL, details: 'out of order', metadata });
}

it("a server's own error arrives as it was thrown", () => {
  const thrown = new LongtailError('the run is over', { code: 'usage', where: 'r1', hint: 'longtail runs lists them' });
  const { code, details, metadata } = toStatus(thrown);
  const error = fromStatus(Object.assign(new Error(details), { code, details, metadata }) as ServiceError, 'a:1');
  expect(error).toMatchObject({ message: 'the run is over', code: 'usage', where: 'r1', hint: 'longtail runs lists them' });
});

it.each(['', '{', 'null', '7', '[]', '{"code":"usage"}', '{"message":5}'])('what carries %s is no error of ours, and is told by its status', (carried) => {
  expect(fromStatus(received(carried), 'a:1')).toMatchObject({ code: 'protocol', message: 'the server at a:1 failed: out of order' });
});
