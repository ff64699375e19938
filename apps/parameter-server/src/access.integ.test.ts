import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseJoinToken, requestCertificate, type Credentials } from '@longtail/access';
import { connectClient, enrol, listen, renew } from '@longtail/transport';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessServer, control, crc32c, DAY, signal } from './testing/access-server.js';

let server: AccessServer;

beforeEach(async () => {
  server = await AccessServer.open();
});
afterEach(() => server.close());

describe('is refused, with the way out:', () => {
  const wayOut = expect.stringContaining('token');

  it('somebody without a token', async () => {
    await expect(connectClient(server.listener.address, signal)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('only who has enrolled'), hint: wayOut });
  });

  it('somebody with the authority but no certificate', async () => {
    const { authority } = await server.enrolled('viewer');
    await expect(connectClient(server.listener.address, signal, { authority })).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('a token that was used already', async () => {
    const token = await server.tokenFor('node');
    await server.enrolWith(token);
    await expect(server.enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('used up'), hint: wayOut });
  });

  it('a request that cannot be read, and leaves the token its use', async () => {
    const token = await server.tokenFor('node');
    const { id, secret, authority: fingerprint } = parseJoinToken(token);
    await expect(enrol(server.listener.address, { fingerprint, token: id, secret, request: 'no request', name: 'somebody' }, signal)).rejects.toMatchObject({ code: 'protocol' });
    expect(await server.enrolWith(token)).toMatchObject({ role: 'node' });
  });

  it('a token that is over', async () => {
    const token = await server.tokenFor('node');
    server.nowMs += 2 * DAY;
    await expect(server.enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('expired'), hint: wayOut });
  });

  it('a certificate that is over', async () => {
    server.nowMs -= 100 * DAY;
    await server.listener.close('older');
    await rm(server.folder, { recursive: true });
    await server.start();
    const who = await server.enrolled('admin');
    server.nowMs += 100 * DAY;
    await expect(server.asking(who, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('a certificate that is damaged where it is kept', async () => {
    const who = await server.enrolled('viewer');
    const damaged = { ...who, certificate: who.certificate.replace('MII', 'AAA') };
    await expect(connectClient(server.listener.address, signal, damaged)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining('damaged'), hint: wayOut });
  });

  it("another server's certificate, whichever end has it", async () => {
    const who = await server.enrolled('admin');
    const token = await server.tokenFor('node');
    await server.listener.close('another');
    await rm(server.folder, { recursive: true });
    await server.start();
    await expect(connectClient(server.listener.address, signal, who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one'), hint: wayOut });
    await expect(server.enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one') });
    const { authority } = await server.enrolled('viewer');
    await expect(connectClient(server.listener.address, signal, { ...who, authority })).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('an enrolled node that passes itself off as the server', async () => {
    const who = await server.enrolled('node');
    const impostor = await listen({ port: 0, control, crc32c, access: { ...server.access, certificate: who.certificate, privateKey: who.privateKey }, onSession: server.welcome, signal });
    server.cleanups.push(() => impostor.close('the test is over'));
    await expect(connectClient(impostor.address, signal, await server.enrolled('engineer'))).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one') });
  });

  it('a server without certificates, by those who have enrolled or have a token', async () => {
    const who = await server.enrolled('viewer');
    const token = await server.tokenFor('node');
    const open = await listen({ port: 0, control, crc32c, onSession: server.welcome, signal });
    server.cleanups.push(() => open.close('the test is over'));
    await expect(connectClient(open.address, signal, who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('does not encrypt') });
    await expect(server.enrolWith(token, open.address)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('does not encrypt') });
  });
});

it('takes a server that hangs up for one that is not there, which may be tried again', async () => {
  const who = await server.enrolled('node');
  const busy = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(busy, 'listening');
  server.cleanups.push(() => busy.close());
  const address = `127.0.0.1:${(busy.address() as AddressInfo).port}`;
  await expect(connectClient(address, signal, who)).rejects.toMatchObject({ code: 'unreachable' });
});

describe('who is revoked', () => {
  it('loses its session at once, and does not come back', async () => {
    const who = await server.enrolled('node');
    const connection = await server.work(who);
    const closed = new Promise<string>((resolve) => connection.start({ message: () => undefined, tensor: () => undefined, closed: resolve }));
    await server.asking(await server.enrolled('admin'), (client) => client.revoke({ token: '', identity: who.id, enrolled: false }, signal));
    expect(await closed).toContain('revoked');
    await expect(server.work(who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
    await expect(renew(server.listener.address, who, (await requestCertificate()).request, signal)).rejects.toMatchObject({ code: 'refused' });
  });

  it('loses the connection on which it asks', async () => {
    const who = await server.enrolled('viewer');
    const client = await connectClient(server.listener.address, signal, who);
    await server.access.revoke({ token: '', identity: who.id, enrolled: false });
    await expect(client.listNodes(signal)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
    client.close();
  });
});

it('gives a node an id of its identity, and nobody that of another', async () => {
  const [honest, thief] = [await server.enrolled('node'), await server.enrolled('node')];
  await server.work(honest);
  const { node } = server.sessions[0]!;
  await server.work(honest, node);
  await server.work(honest);
  await server.work(thief, node);
  const ids = server.sessions.map((session) => session.node);
  expect(ids[1]).toBe(node);
  // Two of two hundred workers had the same of four digits now and then, and ended each other's sessions for ever.
  for (const id of ids.slice(0, 3)) expect(id).toMatch(new RegExp(`^${honest.id}\\.[0-9a-f]{8}$`));
  expect(ids[3]!.startsWith(`${thief.id}.`)).toBe(true);
});

it('takes over, once, the book that was a file before there was a database', async () => {
  const [viewer, thief] = [await server.enrolled('viewer'), await server.enrolled('viewer')];
  await server.access.revoke({ token: '', identity: thief.id, enrolled: false });
  const file = join(server.folder, 'access.json');
  await writeFile(file, JSON.stringify(await server.database.access.load()));
  await server.stop();
  await rm(join(server.folder, 'longtail.db'));
  await server.start();
  await server.asking(viewer, (client) => client.listNodes(signal));
  await expect(server.asking(thief, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
  expect(existsSync(file)).toBe(false);
  // Where there is a book it is the one that counts.
  await rename(`${file}.imported`, file);
  await server.access.revoke({ token: '', identity: viewer.id, enrolled: false });
  await server.stop();
  await server.start();
  await expect(server.asking(viewer, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused' });
});

it('knows everybody again after a restart, and its owner by no token', async () => {
  const who = await server.enrolled('viewer');
  const kept: { text?: string } = {};
  const keep = { path: 'owner', read: async () => kept.text, write: async (text: string) => void (kept.text = text) };
  await server.access.enrolOwner(keep);
  await server.stop();
  await server.start();
  await server.asking(who, (client) => client.listNodes(signal));
  const owner = JSON.parse(kept.text!) as Credentials;
  expect((await server.asking(owner, (client) => client.listAccess(signal))).identities.map(({ role }) => role).sort()).toEqual(['admin', 'viewer']);
  await server.access.enrolOwner(keep);
  expect(JSON.parse(kept.text!)).toEqual(owner);
  // An identity that does not let in is none, however good its certificate is.
  await server.access.revoke({ token: '', identity: owner.id, enrolled: false });
  await server.access.enrolOwner(keep);
  await server.asking(JSON.parse(kept.text!) as Credentials, (client) => client.listAccess(signal));
});
