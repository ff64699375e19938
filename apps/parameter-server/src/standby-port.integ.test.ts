import { createAuthority, requestCertificate, Authority, type KeyedCertificate } from '@longtail/access';
import type { IdentityEntry, PeerIdentity } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello } from '@longtail/protocol';
import { connectClient, createCurveKeys, dial, receiveAuthority, type ClientCredentials } from '@longtail/transport';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { StandbyAccess } from './standby-access.js';
import { StandbyPort } from './standby-port.js';

const DAY = 24 * 3_600_000;
const { signal } = new AbortController();

let authority: KeyedCertificate;
let access: StandbyAccess;
let port: StandbyPort;
let witnesses: string[];
let restarts: number;
let orders: boolean[];
beforeEach(async () => {
  authority = await createAuthority(Date.now());
  access = await StandbyAccess.open(authority, Date.now);
  witnesses = [];
  restarts = 0;
  orders = [];
  port = await StandbyPort.open({
    ...{ host: '127.0.0.1', port: 0, version: '1', server: '10.0.0.5:7077', log: pino({ level: 'silent' }), access },
    witness: (node) => witnesses.push(node),
    restarted: () => restarts++,
    ordered: (force) => orders.push(force),
    ready: () => true,
  });
});
afterEach(() => port.close('the test is over'));

/** As the server issued it, whether the standby was told of it or not. */
async function certified(peer: PeerIdentity): Promise<ClientCredentials> {
  const { request, privateKey } = await requestCertificate();
  const certificate = await (await Authority.open(authority)).issue(request, peer, Date.now(), Date.now() + DAY);
  return { authority: authority.certificate, certificate, privateKey };
}

const entryOf = (peer: PeerIdentity, revoked = false): IdentityEntry => ({ ...peer, name: '', token: '', enrolledAtMs: 0, expiresAtMs: DAY, revoked });

function join(credentials: ClientCredentials, node: string): Promise<unknown> {
  const device = { engine: 'cpu', description: '', memoryBytes: 1, gflops: 1, throttle: 1 };
  const hello: Hello = { protocol: PROTOCOL_VERSION, name: 'w', incarnation: '1', device, allowCode: false, peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node, epoch: 1, standbyAddress: '', paused: '' };
  return dial(port.address, { hello, crc32c: () => 0, security: { credentials, curve: createCurveKeys() }, signal });
}

const NOT_YET = { code: 'unreachable', message: expect.stringContaining('has not taken over') };

it('takes the word of those whom the server let in, and tells them that it is not the server yet', async () => {
  const node = { id: 'node-000000000001', role: 'node' } as const;
  const viewer = { id: 'viewer-000000000001', role: 'viewer' } as const;
  access.hold({ tokens: [], identities: [entryOf(node), entryOf(viewer)] }, true);
  await expect(join(await certified(node), `${node.id}.00000001`)).rejects.toMatchObject(NOT_YET);
  expect(witnesses).toEqual([`${node.id}.00000001`]);
  const client = await connectClient(port.address, signal, await certified(viewer));
  expect(client.server).toMatchObject({ epoch: 0, standbyState: 'ready' });
  await expect(client.listNodes(signal)).rejects.toMatchObject(NOT_YET);
  client.close();
});

it.each(['unknown', 'revoked'])('takes nobody else\'s word, who may be known to the server all the same: an %s node', async (how) => {
  const node = { id: 'node-000000000001', role: 'node' } as const;
  const identities = how === 'unknown' ? [] : [entryOf(node, true)];
  access.hold({ tokens: [], identities }, true);
  await expect(join(await certified(node), `${node.id}.00000001`)).rejects.toMatchObject(NOT_YET);
  expect(witnesses).toEqual([]);
});

it('hears from the server, which asks in its name, that this was started again, and takes orders from engineers and admins', async () => {
  const [standby, engineer, viewer] = [
    { id: 'standby-000000000001', role: 'standby' },
    { id: 'engineer-000000000001', role: 'engineer' },
    { id: 'viewer-000000000001', role: 'viewer' },
  ] as const;
  access.hold({ tokens: [], identities: [standby, engineer, viewer].map((peer) => entryOf(peer)) }, true);
  const as = async (peer: PeerIdentity) => connectClient(port.address, signal, await certified(peer));
  const [server, operator, other] = [await as(standby), await as(engineer), await as(viewer)];
  await server.takeOver({ ordered: false, force: false }, signal);
  await operator.takeOver({ ordered: true, force: true }, signal);
  await expect(other.takeOver({ ordered: true, force: true }, signal)).rejects.toMatchObject({ code: 'refused' });
  expect([restarts, orders]).toEqual([1, [true]]);
  for (const client of [server, operator, other]) client.close();
});

it('changes nothing of who is let in, and hands the authority to nobody', async () => {
  const [admin, standby] = [
    { id: 'admin-000000000001', role: 'admin' },
    { id: 'standby-000000000001', role: 'standby' },
  ] as const;
  access.hold({ tokens: [], identities: [entryOf(admin), entryOf(standby)] }, true);
  const client = await connectClient(port.address, signal, await certified(admin));
  await expect(client.createToken({ role: 'admin', validMs: DAY, uses: 1 }, signal)).rejects.toMatchObject(NOT_YET);
  await expect(client.revoke({ token: '', identity: admin.id, enrolled: false }, signal)).rejects.toMatchObject(NOT_YET);
  client.close();
  await expect(receiveAuthority(port.address, await certified(standby), signal)).rejects.toMatchObject(NOT_YET);
});
