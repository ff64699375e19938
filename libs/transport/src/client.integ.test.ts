import { LongtailError } from '@longtail/core';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { connectClient, type ControlClient, type ControlService } from './index.js';
import { idleControl } from './testing/fixtures.js';
import { startServer } from './testing/server.js';

const signal = new AbortController().signal;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function clientOf(changes: Partial<ControlService>): Promise<ControlClient> {
  const server = await startServer({ control: idleControl(changes) });
  cleanups.push(() => server.stop());
  const client = await connectClient(server.listener.address, signal);
  cleanups.push(() => client.close());
  return client;
}

describe('a client', () => {
  it('gets replies', async () => {
    const client = await clientOf({ launch: ({ jobJson }) => Promise.resolve({ run: 'r1', folder: jobJson }) });
    expect(client.server.protocol).toBe(PROTOCOL_VERSION);
    expect(await client.launch('{"name":"x"}', signal)).toEqual({ run: 'r1', folder: '{"name":"x"}' });
    expect(await client.listJobs(signal)).toEqual({ jobs: [] });
    expect(await client.listNodes(signal)).toEqual({ nodes: [], peers: [], gone: [] });
    expect(await client.listRuns({ limit: 0, status: '' }, signal)).toEqual({ runs: [] });
  });

  it("gets the server's own errors, whole", async () => {
    const error = new LongtailError('unknown model "gpd"', { code: 'invalid-file', where: 'job.yaml:3', hint: 'Did you mean gpt?' });
    const client = await clientOf({ launch: () => Promise.reject(error) });
    await expect(client.launch('{}', signal)).rejects.toMatchObject({ code: 'invalid-file', message: error.message, where: error.where, hint: error.hint });
  });

  it('sees a programming error of the server as internal', async () => {
    const client = await clientOf({ cancel: () => Promise.reject(new TypeError('x is undefined')) });
    await expect(client.cancel({ run: 'r', reason: '' }, signal)).rejects.toMatchObject({ code: 'internal', message: 'x is undefined' });
  });

  it('reads all events of a run, however many', async () => {
    const client = await clientOf({
      watch: async function* ({ fromSeq }) {
        for (let seq = fromSeq; seq < fromSeq + 2_000; seq++) yield { seq, timeMs: 1, bodyJson: '{}'.padEnd(500) };
      },
    });
    const seen: number[] = [];
    for await (const { seq } of client.watch({ run: 'r', fromSeq: 5 }, signal)) seen.push(seq);
    expect(seen).toEqual(Array.from({ length: 2_000 }, (_, index) => index + 5));
  });

  it('ends a watch by leaving its loop', async () => {
    let left!: () => void;
    const ended = new Promise<void>((resolve) => (left = resolve));
    const client = await clientOf({
      watch: async function* (_request, gone) {
        yield { seq: 1, timeMs: 1, bodyJson: '{}' };
        await new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve()));
        left();
      },
    });
    for await (const { seq } of client.watch({ run: 'r', fromSeq: 1 }, signal)) {
      expect(seq).toBe(1);
      break;
    }
    await ended;
  });

  it("gets a watch's error and an abort's reason", async () => {
    const client = await clientOf({});
    await expect(firstOf(client.watch({ run: 'r', fromSeq: 1 }, signal))).rejects.toMatchObject({ code: 'usage', message: 'there is no such run' });
    const waiting = await clientOf({ launch: () => new Promise(() => undefined) });
    const abort = new AbortController();
    const launched = expect(waiting.launch('{}', abort.signal)).rejects.toThrow('never mind');
    abort.abort(new Error('never mind'));
    await launched;
  });

  it('refuses a server of another protocol version', async () => {
    const newer = { protocol: PROTOCOL_VERSION + 1, version: '9', startedAtMs: 1, nodes: 0, runningJobs: 0 };
    await expect(clientOf({ getServer: () => Promise.resolve(newer) })).rejects.toMatchObject({ code: 'protocol', hint: expect.stringContaining('Update this side') });
  });

  it('says that nobody listens', async () => {
    const server = await startServer();
    await server.stop();
    await expect(connectClient(server.listener.address, signal)).rejects.toMatchObject({ code: 'unreachable', where: server.listener.address });
  });
});

async function firstOf<T>(values: AsyncIterable<T>): Promise<T | undefined> {
  for await (const value of values) return value;
  return undefined;
}
