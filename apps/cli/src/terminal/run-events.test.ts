import { LongtailError } from '@longtail/core';
import type { ControlClient } from '@longtail/transport';
import { expect, test } from 'vitest';
import { watchRun } from './run-events.js';

const clientThat = (away: LongtailError) =>
  ({
    watch: async function* () {
      throw away;
    },
    reconnect: async () => Promise.reject(away),
  }) as unknown as ControlClient;

test.each(['unreachable', 'timeout'] as const)('a follower that is stopped while it looks for the server (%s) ends as cancelled', async (code) => {
  const client = clientThat(new LongtailError('nobody answers', { code }));
  const stop = new AbortController();
  const said: string[] = [];
  const say = (text: string) => {
    said.push(text);
    stop.abort(new LongtailError('interrupted', { code: 'cancelled' }));
  };
  await expect(watchRun(client, 'run', say, stop.signal).next()).rejects.toMatchObject({ code: 'cancelled' });
  expect(said).toEqual([expect.stringContaining('nobody answers')]);
});
