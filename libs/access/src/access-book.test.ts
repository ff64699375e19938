import fc from 'fast-check';
import { LongtailError, type PeerIdentity } from '@longtail/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { AccessBook } from './access-book.js';
import { Roll } from './roll.js';
import { MemoryTable } from './testing/memory-table.js';

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
let table: MemoryTable;
let book: AccessBook;
beforeEach(async () => {
  table = new MemoryTable();
  book = await AccessBook.open(table);
});

const redeem = (from: AccessBook, id: string, secret: string, name: string, nowMs: number, expiresAtMs: number): Promise<PeerIdentity> =>
  from.redeem(id, secret, name, nowMs, expiresAtMs, (peer) => Promise.resolve(peer));
const reopened = (): Promise<AccessBook> => AccessBook.open(table);

describe('a token', () => {
  it('lets in as many as it says, over restarts', async () => {
    const { id, secret } = await book.createToken('node', 2, 0, HOUR);
    const first = await redeem(book, id, secret, 'a', 1, YEAR);
    const after = await reopened();
    const second = await redeem(after, id, secret, 'b', 2, YEAR);
    expect(first.id).not.toBe(second.id);
    await expect(redeem(after, id, secret, 'c', 3, YEAR)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('used up'), hint: expect.stringContaining('token create') });
    for (const peer of [first, second]) after.admit(peer);
  });

  it('used at once by many lets in one', async () => {
    const { id, secret } = await book.createToken('node', 1, 0, HOUR);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => redeem(book, id, secret, 'a', 1, YEAR)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('is refused when it is over, revoked, unknown or its secret is another', async () => {
    const { id, secret } = await book.createToken('node', 9, 0, HOUR);
    await expect(redeem(book, id, secret, 'a', HOUR, YEAR)).rejects.toMatchObject({ message: expect.stringContaining('expired') });
    const wrong = await redeem(book, id, '00'.repeat(16), 'a', 1, YEAR).catch((error: Error) => error);
    const unknown = await redeem(book, '00000000', secret, 'a', 1, YEAR).catch((error: Error) => error);
    expect(wrong).toEqual(unknown);
    await book.revokeToken(id, false);
    await expect(redeem(book, id, secret, 'a', 1, YEAR)).rejects.toMatchObject({ message: expect.stringContaining('revoked') });
  });

  it('keeps the use of one for whom no certificate could be made', async () => {
    const { id, secret } = await book.createToken('node', 1, 0, HOUR);
    const unreadable = new LongtailError('the request cannot be read', { code: 'protocol' });
    await expect(book.redeem(id, secret, 'a', 1, YEAR, () => Promise.reject(unreadable))).rejects.toBe(unreadable);
    expect(book.list()).toMatchObject({ tokens: [{ id, usesLeft: 1 }], identities: [] });
    book.admit(await redeem(book, id, secret, 'a', 1, YEAR));
  });

  it('is not in the book with its secret', async () => {
    const { secret } = await book.createToken('node', 1, 0, HOUR);
    expect(JSON.stringify(await table.load())).not.toContain(secret);
  });
});

describe('an identity', () => {
  it('is out when it is revoked, by id or by a name that it alone has', async () => {
    const { id, secret } = await book.createToken('node', 9, 0, HOUR);
    const [a, b, c] = [await redeem(book, id, secret, 'a', 1, YEAR), await redeem(book, id, secret, 'twin', 1, YEAR), await redeem(book, id, secret, 'twin', 1, YEAR)];
    await expect(book.revokeIdentity('twin')).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining(b.id) });
    expect(await book.revokeIdentity('a')).toEqual([a.id]);
    expect(await book.revokeIdentity(b.id)).toEqual([b.id]);
    expect(await book.revokeIdentity('twin')).toEqual([c.id]);
    await expect(book.revokeIdentity('a')).rejects.toMatchObject({ code: 'usage' });
    const after = await reopened();
    for (const peer of [a, b, c]) expect(() => after.admit(peer)).toThrow('revoked');
  });

  it('is out with the token it came with, where that is asked for', async () => {
    const { id, secret } = await book.createToken('node', 2, 0, HOUR);
    const peer = await redeem(book, id, secret, 'a', 1, YEAR);
    expect(await book.revokeToken(id, false)).toEqual([]);
    book.admit(peer);
    expect(await book.revokeToken(id, true)).toEqual([peer.id]);
    expect(() => book.admit(peer)).toThrow('revoked');
  });

  it('is nobody under another role, and nobody whom the book does not know', async () => {
    const peer = await book.enrol('viewer', 'a', 0, YEAR);
    expect(() => book.admit({ ...peer, role: 'admin' })).toThrow('has not enrolled');
    expect(() => book.admit({ id: 'admin-000000000000', role: 'admin' })).toThrow('has not enrolled');
  });
});

it('tells whoever asked for a change once its follower has it, and one that shuts out before it is kept', async () => {
  let have!: () => void;
  const told: unknown[] = [];
  book.follow((changed) => (told.push(changed), new Promise((resolve) => (have = resolve))));
  let answered = false;
  const enrolling = book.enrol('node', 'a', 0, YEAR).finally(() => (answered = true));
  await vi.waitFor(() => expect(told).toHaveLength(1));
  expect(answered).toBe(false);
  have();
  const { id } = await enrolling;
  table.fails = true;
  const revoking = book.revokeIdentity(id);
  await expect(revoking).rejects.toThrow('no room');
  expect(told.at(-1)).toMatchObject({ identities: [{ id, revoked: true }] });
});

it('forgets what is over for a month', async () => {
  await book.createToken('node', 1, 0, HOUR);
  await book.enrol('node', 'a', 0, HOUR);
  await book.createToken('node', 1, YEAR, YEAR + HOUR);
  expect(book.list()).toMatchObject({ tokens: [{ createdAtMs: YEAR }], identities: [] });
});

describe('where its table fails', () => {
  it('lets nobody in, and takes no use of the token', async () => {
    const { id, secret } = await book.createToken('node', 1, 0, HOUR);
    table.fails = true;
    await expect(redeem(book, id, secret, 'a', 1, YEAR)).rejects.toThrow('no room');
    await expect(book.createToken('node', 1, 0, HOUR)).rejects.toThrow('no room');
    expect(book.list()).toMatchObject({ tokens: [{ id, usesLeft: 1 }], identities: [] });
    table.fails = false;
    book.admit(await redeem(book, id, secret, 'a', 1, YEAR));
  });

  it('shuts out at once, and says that it will not last', async () => {
    const peer = await book.enrol('node', 'a', 0, YEAR);
    table.fails = true;
    await expect(book.revokeIdentity(peer.id)).rejects.toThrow('no room');
    expect(() => book.admit(peer)).toThrow('revoked');
    table.fails = false;
    (await reopened()).admit(peer);
  });
});

it('holds what its table does, and its follower too, whatever is done at once and whichever of it fails', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ what: fc.nat({ max: 5 }), fails: fc.boolean() }), { maxLength: 20 }), async (steps) => {
      const table = new MemoryTable();
      const book = await AccessBook.open(table);
      const follower = new Roll();
      book.follow(async (changed) => follower.hold(changed));
      const tokens: Awaited<ReturnType<AccessBook['createToken']>>[] = [];
      const act = (what: number): Promise<unknown> => {
        const [token] = tokens;
        if (what === 0 || token === undefined) return book.createToken('node', 2, 0, HOUR).then((made) => tokens.push(made));
        const [identity] = book.list().identities;
        if (what === 1 || identity === undefined) return book.enrol('viewer', 'a', 0, YEAR);
        if (what === 2) return book.renewed(identity.id, 2 * YEAR);
        return redeem(book, token.id, token.secret, 'b', 1, YEAR);
      };
      for (const { what, fails } of steps) {
        table.fails = fails;
        await Promise.allSettled([act(what), act(what)]);
      }
      expect(book.list()).toEqual(await table.load());
      expect(follower.list()).toEqual(book.list());
      for (const { id } of tokens) {
        const used = book.list().identities.filter(({ token }) => token === id).length;
        expect(used + book.list().tokens.find((token) => token.id === id)!.usesLeft).toBe(2);
      }
    }),
    { numRuns: 200 },
  );
});
