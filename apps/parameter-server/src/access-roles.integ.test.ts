import { requestCertificate, type Credentials } from '@longtail/access';
import { ROLES } from '@longtail/core';
import { receiveAuthority, renew } from '@longtail/transport';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessServer, DAY, signal } from './testing/access-server.js';

let server: AccessServer;

beforeEach(async () => {
  server = await AccessServer.open();
});
afterEach(() => server.close());

/** What each method does for somebody; resolves when it was let through. */
const CALLS: Readonly<Record<string, (credentials: Credentials) => Promise<unknown>>> = {
  session: (who) => server.work(who),
  follow: (who) => server.work(who, '', '127.0.0.1:1'),
  launch: (who) => server.asking(who, (client) => client.launch('{}', signal)),
  watch: (who) => server.asking(who, (client) => client.watch({ run: 'r', fromSeq: 1 }, signal)[Symbol.asyncIterator]().next()),
  cancel: (who) => server.asking(who, (client) => client.cancel({ run: 'r', reason: '' }, signal)),
  resume: (who) => server.asking(who, (client) => client.resume({ run: 'r' }, signal)),
  fork: (who) => server.asking(who, (client) => client.fork({ run: 'r', version: 0, overridesJson: '{}' }, signal)),
  listJobs: (who) => server.asking(who, (client) => client.listJobs(signal)),
  listRuns: (who) => server.asking(who, (client) => client.listRuns({ limit: 0, status: '' }, signal)),
  listNodes: (who) => server.asking(who, (client) => client.listNodes(signal)),
  orderNode: (who) => server.asking(who, (client) => client.orderNode({ node: 'w', order: 'PAUSE', reason: '' }, signal)),
  getServer: (who) => server.asking(who, (client) => client.getServer(signal)),
  enrol: async () => server.enrolled('viewer'),
  renew: async (who) => renew(server.listener.address, who, (await requestCertificate()).request, signal),
  createToken: (who) => server.asking(who, (client) => client.createToken({ role: 'node', validMs: DAY, uses: 1 }, signal)),
  listAccess: (who) => server.asking(who, (client) => client.listAccess(signal)),
  revoke: async (who) => {
    const { id } = await server.access.createToken({ role: 'node', validMs: DAY, uses: 1 });
    return server.asking(who, (client) => client.revoke({ token: id, identity: '', enrolled: false }, signal));
  },
  handOver: (who) => receiveAuthority(server.listener.address, who, signal),
  takeOver: (who) => server.asking(who, (client) => client.takeOver({ ordered: true, force: false }, signal)),
};

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
    const who = await server.enrolled(role);
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
