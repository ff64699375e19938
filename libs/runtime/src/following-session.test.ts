import type { ConnectionHandlers } from '@longtail/core';
import type { ServerMessage } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { FollowedServer, type FollowedServerOptions } from './followed-server.js';
import { FollowingSession } from './following-session.js';
import type { WorkerConnection } from './ports.js';
import { clockOf } from './testing/clock.js';

test('a session that has ended is not ended again when its standby is stopped', async () => {
  const standby = new AbortController();
  const closed: string[] = [];
  let handlers!: ConnectionHandlers<ServerMessage>;
  const connection = { start: (its: typeof handlers) => (handlers = its), send: () => undefined, close: (reason: string) => closed.push(reason) } as unknown as WorkerConnection;
  const clock = clockOf({ nowMs: () => 0, sleep: () => new Promise<void>(() => undefined) });
  const session = new FollowingSession(connection, 1000, new FollowedServer('server:1', 1, 'i', { clock } as FollowedServerOptions));
  const served = session.serve(standby.signal);
  handlers.closed('the server is gone');
  expect(await served).toBe('the server is gone');
  standby.abort(new Error('enough'));
  expect(closed).toEqual([]);
});
