// Idle workers of sessions.mjs, many in a process: each a session of its own, and no device.
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseJoinToken, requestCertificate } from '@longtail/access';
import { createRng } from '@longtail/core';
import { createKernels } from '@longtail/kernels';
import { runWorker } from '@longtail/runtime';
import { createCurveKeys, createTensorContext, dial, enrol, wallClock } from '@longtail/transport';

const { address, count, token } = JSON.parse(process.argv[2]);
/** Joins under way: a server lets in 64 strangers of one address at a time. */
const AT_ONCE = 12;
const SESSIONS_AN_IDENTITY = 200;

const kernels = createKernels();
const context = createTensorContext(count);
const curve = createCurveKeys();
const seen = { sent: 0, heard: 0, joined: 0, lost: 0, late: 0 };
const compute = { device: { engine: 'none', description: 'no device', memoryBytes: 1, gflops: 1, throttle: 1 } };

/** Counts heartbeats, and measures no link: all would measure the memory of one machine. */
function watched(connection, heartbeatMs) {
  let heardMs = performance.now();
  return {
    peer: connection.peer,
    get traffic() {
      return connection.traffic;
    },
    get sending() {
      return connection.sending;
    },
    start: (handlers) =>
      connection.start({
        ...handlers,
        message(message) {
          if (message.message === 'heartbeat') {
            seen.heard++;
            if (performance.now() - heardMs > 2 * heartbeatMs) seen.late++;
          }
          heardMs = performance.now();
          handlers.message(message);
        },
      }),
    send(message) {
      if (message.message === 'heartbeat') seen.sent++;
      connection.send(message);
    },
    sendTensor: () => Promise.reject(new Error('not measured')),
    close: (reason) => connection.close(reason),
  };
}

async function enrolled() {
  if (token === undefined) return undefined;
  const { id, secret, authority: fingerprint } = parseJoinToken(token);
  const { request, privateKey } = await requestCertificate();
  const { authority, reply } = await enrol(address, { fingerprint, token: id, secret, request, name: 'peers' }, new AbortController().signal);
  return { credentials: { ...reply, authority, privateKey }, curve };
}

/** Resolves when it has joined; it goes on in the background. */
function join(name, security) {
  const { signal } = new AbortController();
  return new Promise((resolve, reject) => {
    runWorker({
      dial: async (hello) => {
        const { connection, welcome } = await dial(address, { hello, crc32c: (bytes) => kernels.crc32c(bytes), security, context, signal });
        return { connection: watched(connection, welcome.heartbeatMs), welcome };
      },
      compute,
      codecs: [],
      clock: wallClock,
      rng: createRng(randomBytes(16).toString('hex')),
      signal,
      name,
      allowCode: false,
      wait: true,
      log({ event, ...rest }) {
        if (event === 'joined') {
          seen.joined++;
          resolve();
        }
        if (event === 'disconnected') seen.lost++;
        if (event === 'disconnected' || event === 'reconnecting') console.error(`${name}: ${event}, ${rest.reason}`);
      },
    }).catch(reject);
  });
}

process.on('disconnect', () => process.exit());
setInterval(() => process.send(seen), 200);

let security;
let next = 0;
async function joinSome() {
  while (next < count) {
    const at = next++;
    await join(`${process.pid}-${at}`, await (await security)[Math.floor(at / SESSIONS_AN_IDENTITY)]);
  }
}
security = (async () => {
  const all = [];
  for (let at = 0; at < count; at += SESSIONS_AN_IDENTITY) all.push(await enrolled());
  return all;
})();
await Promise.all(Array.from({ length: AT_ONCE }, joinSome));
await delay(2 ** 31 - 1);
