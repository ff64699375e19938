import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { parseJoinToken, requestCertificate, type Credentials } from '@longtail/access';
import { ROLES, SERVER_NAME, type Connection, type OutgoingTensor, type PeerLink, type Role } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type ServerMessage, type WorkerMessage } from '@longtail/protocol';
import { connectClient, createCurveKeys, dial, enrol, listen, openPeers, receiveAuthority, renew, type ControlService, type Listener } from '@longtail/transport';
import { openDatabase, type Database } from '@longtail/store';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openAccess, type Access } from './open-access.js';
import { startServer } from './start-server.js';

const DAY = 24 * 3_600_000;
const { signal } = new AbortController();
const crc32c = (bytes: Uint8Array): number => bytes.length;

let folder: string;
let database: Database;
let access: Access;
let listener: Listener;
let nowMs: number;
let dropped: string[];
let sessions: { readonly node: string; readonly connection: Connection<ServerMessage, WorkerMessage>; readonly received: Uint8Array[]; readonly arrived: Promise<void> }[];
const cleanups: (() => unknown)[] = [];

const control: ControlService = {
  launch: async () => ({ run: 'r', folder: '' }),
  watch: async function* () {
    yield { seq: 1, timeMs: 1, bodyJson: '{}' };
  },
  cancel: async () => ({ status: 'cancelling' }),
  resume: async () => ({ run: 'r', folder: '', version: 1 }),
  fork: async () => ({ run: 'r', folder: '', version: 1 }),
  listJobs: async () => ({ jobs: [] }),
  listRuns: async () => ({ runs: [] }),
  listNodes: async () => ({ nodes: [], peers: [], gone: [] }),
  orderNode: async () => ({ node: 'n', name: 'w', device: { engine: 'cpu', description: '', memoryBytes: 1, gflops: 1, throttle: 1 }, state: 'paused', run: '', samplesPerSecond: 0, joinedAtMs: 0, lastSeenMsAgo: 0, samplesApplied: 0, peerAddress: '', link: { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 }, profiledJob: '', profiledModel: '', handOverMs: 0, blocks: [], maxUploadBitsPerSecond: 0, paused: 'held' }),
  getServer: async () => ({ protocol: PROTOCOL_VERSION, version: '0', startedAtMs: 1, nodes: 0, runningJobs: 0, epoch: 1, standbyAddress: '', standbyState: '' }),
  takeOver: async () => ({}),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-access-'));
  nowMs = Date.now();
  dropped = [];
  sessions = [];
  await start();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await stop();
  await rm(folder, { recursive: true });
});

async function start(): Promise<void> {
  database = await openDatabase(join(folder, 'longtail.db'));
  access = await openAccess(folder, database.access, () => nowMs);
  await serve();
}

async function serve(connectionsOfIdentity?: number): Promise<void> {
  listener = await listen({ port: 0, control, crc32c, access, connectionsOfIdentity, onDropped: (reason) => dropped.push(reason), onSession: welcome, signal });
}

async function stop(): Promise<void> {
  await listener.close('the test is over');
  await database.close();
}

function welcome(connection: Connection<ServerMessage, WorkerMessage>, { node }: Hello): void {
  let arrive!: () => void;
  const session = { node, connection, received: [] as Uint8Array[], arrived: new Promise<void>((resolve) => (arrive = resolve)) };
  sessions.push(session);
  connection.start({
    message: () => undefined,
    tensor: ({ payload }) => {
      session.received.push(payload);
      arrive();
    },
    closed: () => undefined,
  });
  connection.send({
    message: 'welcome',
    welcome: { node, heartbeatMs: 1_000, protocol: PROTOCOL_VERSION, tensorPort: 0, tensorKey: '', tensorCurveKey: '', epoch: 1, incarnation: '' },
  });
}

async function tokenFor(role: Role, uses = 1): Promise<string> {
  return (await access.createToken({ role, validMs: DAY, uses })).token;
}

async function enrolWith(token: string, at: string = listener.address): Promise<Credentials> {
  const { id, secret, authority: fingerprint } = parseJoinToken(token);
  const { request, privateKey } = await requestCertificate();
  const { authority, reply } = await enrol(at, { fingerprint, token: id, secret, request, name: 'somebody' }, signal);
  return { ...reply, id: reply.identity, role: reply.role as Role, token: id, authority, privateKey };
}

const enrolled = async (role: Role): Promise<Credentials> => enrolWith(await tokenFor(role));

function someHello(node = ''): Hello {
  const device = { engine: 'cpu', description: '', memoryBytes: 1, gflops: 1, throttle: 1 };
  return { protocol: PROTOCOL_VERSION, name: 'w', incarnation: String(Math.random()), device, allowCode: false, peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node, epoch: 0, standbyAddress: '', paused: '' };
}

async function work(credentials: Credentials, node?: string, standbyAddress = ''): Promise<Connection<WorkerMessage, ServerMessage>> {
  const hello = { ...someHello(node), standbyAddress };
  const { connection } = await dial(listener.address, { hello, crc32c, security: { credentials, curve: createCurveKeys() }, signal });
  cleanups.push(() => connection.close('the test is over'));
  return connection;
}

function tensorOf(bytes: Uint8Array): OutgoingTensor {
  const header = { run: 'r', kind: 'gradient', stage: 0, fragment: 0, task: 1, round: 1, baseVersion: 0, samples: 1, codec: 0, name: '', start: 0 } as const;
  return { header, length: bytes.length, chunkLength: 1 << 20, chunk: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** What each method does for somebody; resolves when it was let through. */
const CALLS: Readonly<Record<string, (credentials: Credentials) => Promise<unknown>>> = {
  session: (who) => work(who),
  follow: (who) => work(who, '', '127.0.0.1:1'),
  launch: (who) => asking(who, (client) => client.launch('{}', signal)),
  watch: (who) => asking(who, (client) => client.watch({ run: 'r', fromSeq: 1 }, signal)[Symbol.asyncIterator]().next()),
  cancel: (who) => asking(who, (client) => client.cancel({ run: 'r', reason: '' }, signal)),
  resume: (who) => asking(who, (client) => client.resume({ run: 'r' }, signal)),
  fork: (who) => asking(who, (client) => client.fork({ run: 'r', version: 0, overridesJson: '{}' }, signal)),
  listJobs: (who) => asking(who, (client) => client.listJobs(signal)),
  listRuns: (who) => asking(who, (client) => client.listRuns({ limit: 0, status: '' }, signal)),
  listNodes: (who) => asking(who, (client) => client.listNodes(signal)),
  orderNode: (who) => asking(who, (client) => client.orderNode({ node: 'w', order: 'PAUSE', reason: '' }, signal)),
  getServer: (who) => asking(who, (client) => client.getServer(signal)),
  enrol: async () => enrolled('viewer'),
  renew: async (who) => renew(listener.address, who, (await requestCertificate()).request, signal),
  createToken: (who) => asking(who, (client) => client.createToken({ role: 'node', validMs: DAY, uses: 1 }, signal)),
  listAccess: (who) => asking(who, (client) => client.listAccess(signal)),
  revoke: async (who) => {
    const { id } = await access.createToken({ role: 'node', validMs: DAY, uses: 1 });
    return asking(who, (client) => client.revoke({ token: id, identity: '', enrolled: false }, signal));
  },
  handOver: (who) => receiveAuthority(listener.address, who, signal),
  takeOver: (who) => asking(who, (client) => client.takeOver({ ordered: true, force: false }, signal)),
};

async function asking<T>(credentials: Credentials, question: (client: Awaited<ReturnType<typeof connectClient>>) => Promise<T>): Promise<T> {
  const client = await connectClient(listener.address, signal, credentials);
  try {
    return await question(client);
  } finally {
    client.close();
  }
}

/** Said here once more, apart from the table that the server goes by. */
const ALLOWED: Readonly<Record<string, string>> = {
  session: 'node admin',
  follow: 'standby',
  launch: 'engineer admin',
  watch: 'viewer engineer admin',
  cancel: 'engineer admin',
  resume: 'engineer admin',
  fork: 'engineer admin',
  listJobs: 'viewer engineer admin',
  listRuns: 'viewer engineer admin',
  listNodes: 'viewer engineer admin',
  orderNode: 'engineer admin',
  getServer: 'node viewer engineer admin standby',
  enrol: 'node viewer engineer admin standby',
  renew: 'node viewer engineer admin standby',
  createToken: 'admin',
  listAccess: 'admin',
  revoke: 'admin',
  handOver: 'standby',
  takeOver: 'engineer admin standby',
};

describe.each(ROLES)('a %s', (role) => {
  it('may call what its role says, and nothing else', async () => {
    const who = await enrolled(role);
    for (const [method, call] of Object.entries(CALLS)) {
      const outcome = await call(who).then(
        () => 'let through',
        (error: { code: string; hint: string }) => `${error.code}: ${error.hint}`,
      );
      const expected = ALLOWED[method]!.split(' ').includes(role) ? 'let through' : `refused: Ask for a token of that role: longtail token create --role ${ALLOWED[method]!.split(' ')[0]}.`;
      expect(outcome, method).toBe(expected);
    }
  });
});

describe('is refused, with the way out:', () => {
  const wayOut = expect.stringContaining('token');

  it('somebody without a token', async () => {
    await expect(connectClient(listener.address, signal)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('only who has enrolled'), hint: wayOut });
  });

  it('somebody with the authority but no certificate', async () => {
    const { authority } = await enrolled('viewer');
    await expect(connectClient(listener.address, signal, { authority })).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('a token that was used already', async () => {
    const token = await tokenFor('node');
    await enrolWith(token);
    await expect(enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('used up'), hint: wayOut });
  });

  it('a request that cannot be read, and leaves the token its use', async () => {
    const token = await tokenFor('node');
    const { id, secret, authority: fingerprint } = parseJoinToken(token);
    await expect(enrol(listener.address, { fingerprint, token: id, secret, request: 'no request', name: 'somebody' }, signal)).rejects.toMatchObject({ code: 'protocol' });
    expect(await enrolWith(token)).toMatchObject({ role: 'node' });
  });

  it('a token that is over', async () => {
    const token = await tokenFor('node');
    nowMs += 2 * DAY;
    await expect(enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('expired'), hint: wayOut });
  });

  it('a certificate that is over', async () => {
    nowMs -= 100 * DAY;
    await listener.close('older');
    await rm(folder, { recursive: true });
    await start();
    const who = await enrolled('admin');
    nowMs += 100 * DAY;
    await expect(asking(who, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('a certificate that is damaged where it is kept', async () => {
    const who = await enrolled('viewer');
    const damaged = { ...who, certificate: who.certificate.replace('MII', 'AAA') };
    await expect(connectClient(listener.address, signal, damaged)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining('damaged'), hint: wayOut });
  });

  it("another server's certificate, whichever end has it", async () => {
    const who = await enrolled('admin');
    const token = await tokenFor('node');
    await listener.close('another');
    await rm(folder, { recursive: true });
    await start();
    await expect(connectClient(listener.address, signal, who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one'), hint: wayOut });
    await expect(enrolWith(token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one') });
    const { authority } = await enrolled('viewer');
    await expect(connectClient(listener.address, signal, { ...who, authority })).rejects.toMatchObject({ code: 'refused', hint: wayOut });
  });

  it('an enrolled node that passes itself off as the server', async () => {
    const who = await enrolled('node');
    const impostor = await listen({ port: 0, control, crc32c, access: { ...access, certificate: who.certificate, privateKey: who.privateKey }, onSession: welcome, signal });
    cleanups.push(() => impostor.close('the test is over'));
    await expect(connectClient(impostor.address, signal, await enrolled('engineer'))).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('not the one') });
  });

  it('a server without certificates, by those who have enrolled or have a token', async () => {
    const who = await enrolled('viewer');
    const token = await tokenFor('node');
    const open = await listen({ port: 0, control, crc32c, onSession: welcome, signal });
    cleanups.push(() => open.close('the test is over'));
    await expect(connectClient(open.address, signal, who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('does not encrypt') });
    await expect(enrolWith(token, open.address)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('does not encrypt') });
  });
});

it('takes a server that hangs up for one that is not there, which may be tried again', async () => {
  const who = await enrolled('node');
  const busy = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(busy, 'listening');
  cleanups.push(() => busy.close());
  const address = `127.0.0.1:${(busy.address() as AddressInfo).port}`;
  await expect(connectClient(address, signal, who)).rejects.toMatchObject({ code: 'unreachable' });
});

describe('who is revoked', () => {
  it('loses its session at once, and does not come back', async () => {
    const who = await enrolled('node');
    const connection = await work(who);
    const closed = new Promise<string>((resolve) => connection.start({ message: () => undefined, tensor: () => undefined, closed: resolve }));
    await asking(await enrolled('admin'), (client) => client.revoke({ token: '', identity: who.id, enrolled: false }, signal));
    expect(await closed).toContain('revoked');
    await expect(work(who)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
    await expect(renew(listener.address, who, (await requestCertificate()).request, signal)).rejects.toMatchObject({ code: 'refused' });
  });

  it('loses the connection on which it asks', async () => {
    const who = await enrolled('viewer');
    const client = await connectClient(listener.address, signal, who);
    await access.revoke({ token: '', identity: who.id, enrolled: false });
    await expect(client.listNodes(signal)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
    client.close();
  });
});

it('gives a node an id of its identity, and nobody that of another', async () => {
  const [honest, thief] = [await enrolled('node'), await enrolled('node')];
  await work(honest);
  const { node } = sessions[0]!;
  await work(honest, node);
  await work(honest);
  await work(thief, node);
  const ids = sessions.map((session) => session.node);
  expect(ids[1]).toBe(node);
  // Two of two hundred workers had the same of four digits now and then, and ended each other's sessions for ever.
  for (const id of ids.slice(0, 3)) expect(id).toMatch(new RegExp(`^${honest.id}\\.[0-9a-f]{8}$`));
  expect(ids[3]!.startsWith(`${thief.id}.`)).toBe(true);
});

describe('tensors', () => {
  it('of a session arrive over CURVE', async () => {
    const connection = await work(await enrolled('node'));
    const bytes = Uint8Array.from({ length: 3 << 20 }, (_, i) => i * 31);
    await connection.sendTensor(tensorOf(bytes), signal);
    await sessions[0]!.arrived;
    expect(Buffer.concat(sessions[0]!.received).equals(bytes)).toBe(true);
  });

  it.each([
    ['with another key', createCurveKeys()],
    ['in the clear', undefined],
  ])('reach nothing from a stranger who has learnt what the session shows, but comes %s', async (_how, curve) => {
    const { connection, welcome } = await dial(listener.address, { hello: someHello(), crc32c, security: { credentials: await enrolled('node'), curve: createCurveKeys() }, signal });
    cleanups.push(() => connection.close('the test is over'));
    const stranger = await openPeers({ crc32c, curve });
    cleanups.push(() => stranger.close('the test is over'));
    const dialled = stranger.dial(`127.0.0.1:${listener.tensorPort}`, welcome.tensorKey, signal, welcome.tensorCurveKey);
    await expect(dialled).rejects.toMatchObject({ message: expect.stringContaining('the connection broke') });
    expect(dropped).toEqual([]);
  });

  it('go over a direct link between the keys that the server told, and no others', async () => {
    const [near, far, stranger] = [createCurveKeys(), createCurveKeys(), createCurveKeys()];
    const ends = await Promise.all([near, far, stranger].map((curve) => openPeers({ crc32c, curve })));
    cleanups.push(...ends.map((end) => () => end.close('the test is over')));
    const key = 'ab'.repeat(16);
    // The one that dials is the first to know.
    const dialled = ends[1]!.dial(ends[0]!.address, key, signal, near.publicKey);
    const [accepted, link] = await Promise.all([ends[0]!.accept(key, signal, far.publicKey), dialled]);
    const arrived = new Promise<Uint8Array>((resolve) => accepted.start({ tensor: ({ payload }) => resolve(payload), closed: () => undefined }));
    (link as PeerLink).start({ tensor: () => undefined, closed: () => undefined });
    await link.sendTensor(tensorOf(Uint8Array.of(1, 2, 3)), signal);
    expect([...(await arrived)]).toEqual([1, 2, 3]);

    const other = 'cd'.repeat(16);
    const limit = new AbortController();
    const waiting = expect(ends[0]!.accept(other, limit.signal, far.publicKey)).rejects.toThrow('enough');
    await expect(ends[2]!.dial(ends[0]!.address, other, AbortSignal.any([limit.signal, AbortSignal.timeout(500)]), near.publicKey)).rejects.toThrow();
    limit.abort(new Error('enough'));
    await waiting;
  });
});

it('lets few strangers in at a time, and none of them keeps others out who have enrolled', async () => {
  const who = await enrolled('viewer');
  const sockets = Array.from({ length: 80 }, () => connect(listener.port, '127.0.0.1'));
  cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
  let refused = 0;
  for (const socket of sockets) socket.on('error', () => undefined).once('close', () => refused++);
  await Promise.all(sockets.slice(64).map((socket) => once(socket, 'close')));
  expect(refused).toBe(16);
  for (const socket of sockets) socket.destroy();
  await asking(who, (client) => client.listNodes(signal));
});

it('lets an identity have so many connections, and another one when one has ended', async () => {
  await listener.close('it is started with less room');
  await serve(8);
  const { authority: ca, certificate: cert, privateKey: key } = await enrolled('viewer');
  const sockets: TLSSocket[] = [];
  cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
  const open = (): Promise<string> => {
    const socket = connectTls({ port: listener.port, ca, cert, key, servername: SERVER_NAME, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' });
    sockets.push(socket.on('error', () => undefined));
    // Whoever is in is told gRPC's settings.
    return new Promise((resolve) => socket.once('data', () => resolve('in')).once('close', () => resolve('out')));
  };
  for (let count = 1; count <= 8; count++) expect(await open()).toBe('in');
  expect(await open()).toBe('out');
  expect(dropped).toEqual([expect.stringContaining('has 8 connections already')]);
  sockets[0]!.destroy();
  expect(await open()).toBe('in');
});

it.each(['0.0.0.0', '127.example.org'])('does not listen on %s, beyond this machine, without certificates', async (host) => {
  const open = startServer({ host, port: 0, runsFolder: folder, database, version: '', insecure: false, log: pino({ level: 'silent' }) });
  await expect(open).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('--tls') });
});

it('takes over, once, the book that was a file before there was a database', async () => {
  const [viewer, thief] = [await enrolled('viewer'), await enrolled('viewer')];
  await access.revoke({ token: '', identity: thief.id, enrolled: false });
  const file = join(folder, 'access.json');
  await writeFile(file, JSON.stringify(await database.access.load()));
  await stop();
  await rm(join(folder, 'longtail.db'));
  await start();
  await asking(viewer, (client) => client.listNodes(signal));
  await expect(asking(thief, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
  expect(existsSync(file)).toBe(false);
  // Where there is a book it is the one that counts.
  await rename(`${file}.imported`, file);
  await access.revoke({ token: '', identity: viewer.id, enrolled: false });
  await stop();
  await start();
  await expect(asking(viewer, (client) => client.listNodes(signal))).rejects.toMatchObject({ code: 'refused' });
});

it('knows everybody again after a restart, and its owner by no token', async () => {
  const who = await enrolled('viewer');
  const kept: { text?: string } = {};
  const keep = { path: 'owner', read: async () => kept.text, write: async (text: string) => void (kept.text = text) };
  await access.enrolOwner(keep);
  await stop();
  await start();
  await asking(who, (client) => client.listNodes(signal));
  const owner = JSON.parse(kept.text!) as Credentials;
  expect((await asking(owner, (client) => client.listAccess(signal))).identities.map(({ role }) => role).sort()).toEqual(['admin', 'viewer']);
  await access.enrolOwner(keep);
  expect(JSON.parse(kept.text!)).toEqual(owner);
  // An identity that does not let in is none, however good its certificate is.
  await access.revoke({ token: '', identity: owner.id, enrolled: false });
  await access.enrolOwner(keep);
  await asking(JSON.parse(kept.text!) as Credentials, (client) => client.listAccess(signal));
});
