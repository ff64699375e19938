import { LongtailError, type Verdict } from '@longtail/core';
import type { ControlClient } from '@longtail/transport';
import { expect, test } from 'vitest';
import type { Output } from './output.js';
import { showRun } from './run-job.js';

const VERDICT: Verdict = {
  event: 'verdict',
  status: 'cancelled',
  run: 'r',
  job: 'j',
  engine: 'wasm',
  metrics: { validation_loss: null, validation_accuracy: null, train_loss: null },
  samples: { applied: 0, lost: 0 },
  seconds: 1,
  bytes: { up: 0, down: 0, direct: 0 },
  model: '',
  reason: 'cancelled: interrupted',
};
const away = () => Promise.reject(new LongtailError('nobody answers', { code: 'unreachable' }));

/** A server that goes away as soon as somebody watches, and is back after that; `cancelled` hears of orders. */
function restarted(onAway: () => void, cancelled: (request: object) => void): ControlClient {
  const base = { address: '127.0.0.1:1', server: { epoch: 1, standbyAddress: '' }, close: () => undefined };
  let end: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const back = {
    ...base,
    watch: async function* () {
      await ended;
      yield { seq: 1, timeMs: 1, bodyJson: JSON.stringify(VERDICT) };
    },
    cancel: async (request: object) => {
      cancelled(request);
      end();
      return { status: 'cancelled' };
    },
  };
  const first = {
    ...base,
    watch: async function* () {
      onAway();
      await away();
    },
    cancel: away,
    reconnect: async () => back,
  };
  return first as unknown as ControlClient;
}

test('a run that is interrupted while its server is away is cancelled when that is back', async () => {
  const interruption = new AbortController();
  const orders: object[] = [];
  const failures: unknown[] = [];
  const client = restarted(() => interruption.abort(), (request) => orders.push(request));
  const output = { json: true, quiet: false, event: () => undefined, note: () => undefined, fail: (error: unknown) => failures.push(error) } as unknown as Output;
  expect(await showRun(client, { run: 'r', folder: '/runs/r' }, output, interruption.signal)).toBe(130);
  expect(orders).toEqual([{ run: 'r', reason: 'interrupted' }]);
  expect(failures).toEqual([]);
});
