import { randomBytes } from 'node:crypto';
import type { PeerLink, TensorChunk } from '@longtail/core';
import { afterEach, describe, expect, it } from 'vitest';
import * as zmq from 'zeromq';
import { openPeers, type PeerEndpoint } from './index.js';
import { crc32c, noise, tensorOfBytes } from './testing/fixtures.js';
import { Peer } from './testing/peer.js';

const forever = new AbortController().signal;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function endpoint(onDropped?: (reason: string) => void): Promise<PeerEndpoint> {
  const peers = await openPeers({ crc32c, onDropped });
  cleanups.push(() => peers.close('the test is over'));
  return peers;
}

const newKey = (): string => randomBytes(16).toString('hex');

async function linked(listening: PeerEndpoint, dialling: PeerEndpoint, key = newKey()): Promise<[PeerLink, PeerLink]> {
  return Promise.all([listening.accept(key, forever), dialling.dial(listening.address, key, forever)]);
}

/** What comes over a link, and why it ended. */
function attend(link: PeerLink): { readonly chunks: TensorChunk[]; readonly closed: Promise<string> } {
  const chunks: TensorChunk[] = [];
  return { chunks, closed: new Promise((closed) => link.start({ tensor: (chunk) => void chunks.push(chunk), closed })) };
}

const bytesOf = (chunks: readonly TensorChunk[]): Buffer => Buffer.concat(chunks.map(({ payload }) => payload));

describe('a link between neighbours', () => {
  it('carries tensors both ways at once, whoever dialled', async () => {
    const [left, right] = await linked(await endpoint(), await endpoint());
    const [atLeft, atRight] = [attend(left), attend(right)];
    const [one, other] = [noise(4_000_000, 1), noise(3_000_001, 2)];
    await Promise.all([left.sendTensor(tensorOfBytes(one), forever), right.sendTensor(tensorOfBytes(other), forever)]);
    expect(bytesOf(atRight.chunks).equals(one)).toBe(true);
    expect(bytesOf(atLeft.chunks).equals(other)).toBe(true);
    expect(left.traffic.bytesSent).toBeGreaterThan(4_000_000);
  });

  it('serves several neighbours over one port, and any worker may dial as well as listen', async () => {
    const [a, b, c] = [await endpoint(), await endpoint(), await endpoint()];
    const links = [await linked(a, b), await linked(a, c), await linked(b, c)];
    for (const [index, [from, to]] of links.entries()) {
      const seen = attend(to);
      await from.sendTensor(tensorOfBytes(noise(10_000, index), index), forever);
      expect(seen.chunks.map(({ header }) => header.task)).toEqual([index]);
    }
  });

  it('waits for the one who learns of it last', async () => {
    const [a, b] = [await endpoint(() => undefined), await endpoint()];
    const key = newKey();
    const dialled = b.dial(a.address, key, forever);
    await new Promise((resolve) => setTimeout(resolve, 250));
    const accepted = a.accept(key, forever);
    const seen = attend(await accepted);
    await (await dialled).sendTensor(tensorOfBytes(noise(1000, 3)), forever);
    expect(seen.chunks).toHaveLength(1);
  });

  it('ends for both with the reason of the one who closed it, and fails what was being sent', async () => {
    for (const closer of [0, 1]) {
      const links = await linked(await endpoint(), await endpoint());
      const [own, others] = [attend(links[closer]!), attend(links[1 - closer]!)];
      links[closer]!.close('the plan has changed');
      expect(await own.closed).toBe('the plan has changed');
      expect(await others.closed).toBe('the plan has changed');
      const sent = links[1 - closer]!.sendTensor(tensorOfBytes(noise(1000, 4)), forever);
      await expect(sent).rejects.toMatchObject({ code: 'unreachable', message: expect.stringContaining('the plan has changed') });
    }
  });

  it('drops strangers, keys of no link and frames of another one', async () => {
    const dropped: string[] = [];
    const a = await endpoint((reason) => dropped.push(reason));
    const b = await endpoint();
    const [left] = await linked(a, b);
    const seen = attend(left);
    const stranger = new zmq.Dealer({ linger: 0 });
    cleanups.push(() => stranger.close());
    stranger.connect(`tcp://${a.address}`);
    await stranger.send('what is this');
    const stop = new AbortController();
    const refused = expect(b.dial(a.address, newKey(), stop.signal)).rejects.toThrow('enough');
    await until(() => dropped.length >= 2);
    stop.abort(new Error('enough'));
    await refused;
    expect(dropped.some((reason) => reason.includes('LinkFrame'))).toBe(true);
    expect(dropped.some((reason) => reason.includes('the key of no session'))).toBe(true);
    expect(seen.chunks).toEqual([]);
  });

  it('says that nobody listens', async () => {
    const [a, b] = [await openPeers({ crc32c }), await endpoint()];
    await a.close('gone');
    await expect(b.dial(a.address, newKey(), forever)).rejects.toMatchObject({ code: 'unreachable' });
    await expect(openPeers({ crc32c, host: '203.0.113.7' })).rejects.toMatchObject({ code: 'unreachable', hint: expect.stringContaining('address of this machine') });
  });

  it.each([{ victim: 'dials' }, { victim: 'listens' }] as const)('notices within a second that the one who $victim was killed', async ({ victim }) => {
    const [own, key] = [await endpoint(), newKey()];
    let link: PeerLink;
    let other: Peer;
    if (victim === 'dials') {
      const accepted = own.accept(key, forever);
      other = (await Peer.start({ name: 'dials', address: own.address, linkKey: key, sameHost: false })).peer;
      link = await accepted;
    } else {
      const started = await Peer.start({ name: 'listens', linkKey: key, sameHost: false });
      other = started.peer;
      link = await own.dial(started.address, key, forever);
    }
    const { closed } = attend(link);
    await link.sendTensor(tensorOfBytes(noise(100_000, 5)), forever);
    expect((await other.next('tensor')).bytes).toBe(100_000);
    const startMs = performance.now();
    await other.kill();
    await closed;
    expect(performance.now() - startMs).toBeLessThan(1000);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}
