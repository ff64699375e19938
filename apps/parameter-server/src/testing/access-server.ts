import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseJoinToken, requestCertificate, type Credentials } from '@longtail/access';
import type { Connection, Role } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type ServerMessage, type WorkerMessage } from '@longtail/protocol';
import { openDatabase, type Database } from '@longtail/store';
import { connectClient, createCurveKeys, dial, enrol, listen, type ControlService, type Listener } from '@longtail/transport';
import { openAccess, type Access } from '../open-access.js';

export const DAY = 24 * 3_600_000;
export const { signal } = new AbortController();
export const crc32c = (bytes: Uint8Array): number => bytes.length;

/** Answers whatever is asked: what matters is who may ask. */
export const control: ControlService = {
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

interface Welcomed {
  readonly node: string;
  readonly connection: Connection<ServerMessage, WorkerMessage>;
  readonly received: Uint8Array[];
  /** The first tensor is there. */
  readonly arrived: Promise<void>;
}

/** A listener with certificates and the book of who is in, without a server behind it, and those who come to it. */
export class AccessServer {
  database!: Database;
  access!: Access;
  listener!: Listener;
  nowMs = Date.now();
  readonly dropped: string[] = [];
  readonly sessions: Welcomed[] = [];
  /** To be done before it ends, the last first. */
  readonly cleanups: (() => unknown)[] = [];

  private constructor(readonly folder: string) {}

  static async open(): Promise<AccessServer> {
    const server = new AccessServer(await mkdtemp(join(tmpdir(), 'longtail-access-')));
    await server.start();
    return server;
  }

  async close(): Promise<void> {
    for (const cleanup of this.cleanups.splice(0).reverse()) await cleanup();
    await this.stop();
    await rm(this.folder, { recursive: true });
  }

  /** With the folder that it has. */
  async start(): Promise<void> {
    this.database = await openDatabase(join(this.folder, 'longtail.db'));
    this.access = await openAccess(this.folder, this.database.access, () => this.nowMs);
    await this.serve();
  }

  async serve(connectionsOfIdentity?: number): Promise<void> {
    this.listener = await listen({ port: 0, control, crc32c, access: this.access, connectionsOfIdentity, onDropped: (reason) => this.dropped.push(reason), onSession: this.welcome, signal });
  }

  async stop(): Promise<void> {
    await this.listener.close('the test is over');
    await this.database.close();
  }

  readonly welcome = (connection: Connection<ServerMessage, WorkerMessage>, { node }: Hello): void => {
    let arrive!: () => void;
    const session = { node, connection, received: [] as Uint8Array[], arrived: new Promise<void>((resolve) => (arrive = resolve)) };
    this.sessions.push(session);
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
  };

  async tokenFor(role: Role, uses = 1): Promise<string> {
    return (await this.access.createToken({ role, validMs: DAY, uses })).token;
  }

  async enrolWith(token: string, at: string = this.listener.address): Promise<Credentials> {
    const { id, secret, authority: fingerprint } = parseJoinToken(token);
    const { request, privateKey } = await requestCertificate();
    const { authority, reply } = await enrol(at, { fingerprint, token: id, secret, request, name: 'somebody' }, signal);
    return { ...reply, id: reply.identity, role: reply.role as Role, token: id, authority, privateKey };
  }

  /** Somebody new. */
  async enrolled(role: Role): Promise<Credentials> {
    return this.enrolWith(await this.tokenFor(role));
  }

  /** Comes as a worker, or as a standby. */
  async work(credentials: Credentials, node?: string, standbyAddress = ''): Promise<Connection<WorkerMessage, ServerMessage>> {
    const hello = { ...someHello(node), standbyAddress };
    const { connection } = await dial(this.listener.address, { hello, crc32c, security: { credentials, curve: createCurveKeys() }, signal });
    this.cleanups.push(() => connection.close('the test is over'));
    return connection;
  }

  async asking<T>(credentials: Credentials, question: (client: Awaited<ReturnType<typeof connectClient>>) => Promise<T>): Promise<T> {
    const client = await connectClient(this.listener.address, signal, credentials);
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }
}

export function someHello(node = ''): Hello {
  const device = { engine: 'cpu', description: '', memoryBytes: 1, gflops: 1, throttle: 1 };
  return { protocol: PROTOCOL_VERSION, name: 'w', incarnation: String(Math.random()), device, allowCode: false, peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node, epoch: 0, standbyAddress: '', paused: '' };
}
