// Mutants of job files, join tokens, certificates and their requests, and checkpoints: each is refused with an error that says why, or read
// as what it is. A part of the certificates is shown to a server over TLS, which lets in nobody by them and everybody else as before.
//   node --expose-gc benchmarks/system/fuzz-files.mjs [--mutants 10000] [--seed 1]
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Authority, createAuthority, formatJoinToken, parseJoinToken, requestCertificate } from '@longtail/access';
import { createRng, layOut } from '@longtail/core';
import { openAccess } from '@longtail/parameter-server';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { parseJobFile, resolveJob, validateJob } from '@longtail/spec';
import { checkpointFolder } from '@longtail/store';
import { connectClient, listen } from '@longtail/transport';

const { values: options } = parseArgs({ options: { mutants: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } } });
const mutants = Number(options.mutants);
const rng = createRng(`files/${options.seed}`);

process.on('unhandledRejection', (error) => {
  console.error('unhandled rejection', error);
  process.exit(1);
});

/** Of the heap, after all that can go has gone. */
function heapMiB() {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** @param {Uint8Array} original */
function mutate(original) {
  const bytes = Buffer.from(original);
  for (let changes = 1 + rng.below(3); changes > 0; changes--) bytes[rng.below(bytes.length)] = rng.below(256);
  const at = rng.below(bytes.length);
  return [bytes, bytes, bytes, bytes.subarray(0, at), Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + rng.below(9))]), Buffer.concat([bytes, bytes.subarray(at)])][rng.below(6)];
}

/** @param {string} what @param {readonly string[]} codes @param {(mutant: number) => unknown} read */
async function fuzz(what, codes, read, count = mutants) {
  const startedMs = performance.now();
  const before = heapMiB();
  let refused = 0;
  for (let mutant = 1; mutant <= count; mutant++) {
    try {
      await read(mutant);
    } catch (error) {
      if (!codes.includes(error.code)) throw new Error(`${what}, seed ${options.seed}, mutant ${mutant}: ${error.stack}`, { cause: error });
      refused++;
    }
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(`${what}: ${count} mutants, ${refused} refused; heap + ${(heapMiB() - before).toFixed(1)} MiB; ${seconds} s`);
}

const job = readFileSync('examples/gpt-pipeline.yaml');
await fuzz('job files', ['invalid-file'], () => validateJob(parseJobFile(mutate(job).toString(), 'job.yaml')));

const folder = mkdtempSync(join(tmpdir(), 'longtail-fuzz-'));
try {
  await fuzzAccess(join(folder, 'server'));
  await fuzzCheckpoints(join(folder, 'checkpoints'));
} finally {
  rmSync(folder, { recursive: true });
}

async function fuzzAccess(place) {
  const nowMs = Date.now();
  const day = 24 * 3_600_000;
  const access = await openAccess(place, () => nowMs);
  const enrol = async ({ id, secret }) => {
    const { request, privateKey } = await requestCertificate();
    return { privateKey, authority: access.authority, ...(await access.enrol({ protocol: 0, token: id, secret, request, name: 'somebody' })) };
  };

  const { token } = await access.createToken({ role: 'viewer', validMs: day, uses: 10_000 });
  const given = parseJoinToken(token);
  const hex = (text) => mutate(Buffer.from(text, 'hex')).toString('hex');
  await fuzz('tokens', ['usage'], () => {
    const read = parseJoinToken(mutate(Buffer.from(token)).toString('latin1'));
    // Bits of the last letter mean nothing.
    if (!isDeepStrictEqual(read, given)) throw new Error('a mutant was read as another token');
  });
  // As somebody would who knows how tokens are made: all of it is whole, but something else.
  await fuzz('tokens that are whole', ['usage', 'refused'], async () => {
    const made = { ...given, [['id', 'secret'][rng.below(2)]]: hex(given[['id', 'secret'][rng.below(2)]]) };
    const read = parseJoinToken(formatJoinToken(made));
    if (read.id === given.id && read.secret === given.secret) return;
    await enrol(read);
    throw new Error('a mutant let somebody in');
  });

  const who = await enrol(given);
  const der = new X509Certificate(who.certificate).raw;
  await fuzz('certificates', ['refused'], () => {
    const bytes = mutate(der);
    if (bytes.subarray(0, der.length).equals(der)) return; // nothing of it changed, or something stands behind it
    let certificate;
    try {
      certificate = new X509Certificate(bytes);
    } catch (error) {
      throw Object.assign(new Error('no certificate', { cause: error }), { code: 'refused' });
    }
    access.identify(certificate);
    throw new Error('a mutant is somebody');
  });

  const { request } = await requestCertificate();
  const authority = await Authority.open(await createAuthority(nowMs));
  const peer = { id: 'viewer-0123456789ab', role: 'viewer' };
  await fuzz('certificate requests', ['protocol'], async () => {
    const certificate = new X509Certificate(await authority.issue(mutate(Buffer.from(request)).toString('latin1'), peer, nowMs, nowMs + day));
    if (!isDeepStrictEqual(authority.identify(certificate, nowMs), peer)) throw new Error('a mutant got more than was asked for');
  });
  await overTls(access, who, der);
}

/** Each by a connection of its own; between them somebody comes in who may. */
async function overTls(access, who, der) {
  const getServer = async () => ({ protocol: PROTOCOL_VERSION, version: '', startedAtMs: 1, nodes: 0, runningJobs: 0 });
  const { signal } = new AbortController();
  const listener = await listen({ port: 0, access, control: { getServer, listJobs: async () => ({ jobs: [] }) }, crc32c: () => 0, onSession: () => undefined, signal });
  const ask = async (credentials) => {
    const client = await connectClient(listener.address, signal, credentials);
    await client.listJobs(signal);
    client.close();
  };
  try {
    let shown = 0;
    await fuzz(
      'certificates over TLS',
      ['refused', 'unreachable', 'storage'],
      async (mutant) => {
        if (mutant % 100 === 1) await ask(who);
        const bytes = mutate(der);
        if (bytes.equals(der)) return;
        const certificate = `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
        await ask({ ...who, certificate }).catch((error) => {
          // The others OpenSSL does not take at this end.
          if (error.code !== 'storage') shown++;
          throw error;
        });
        throw new Error('a mutant let somebody in');
      },
      mutants / 10,
    );
    console.log(`  ${shown} of them were shown to the server`);
    await ask(who);
  } finally {
    await listener.close('done');
  }
}

async function fuzzCheckpoints(place) {
  const checkpoints = checkpointFolder(place, { keep: 1 });
  const images = { inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10 };
  const recipe = resolveJob(validateJob(parseJobFile('data: mnist\nmodel: cnn\n', 'job.yaml')), images);
  const { path } = await checkpoints.write({
    run: 'r1',
    job: recipe,
    version: 1,
    steps: 1,
    leaseBook: { samplesPerEpoch: 10, epochs: 2, applied: 3, lost: 0, cursor: { epoch: 0, position: 6 }, returned: [{ epoch: 0, start: 3, end: 6 }] },
    rng: {},
    validationSamples: 4,
    blocks: 2,
    metrics: { validation_loss: null, validation_accuracy: null, train_loss: null },
    layout: layOut([{ name: 'w', shape: [20, 30] }]),
    parameters: Float32Array.from({ length: 600 }, (_, i) => i / 7),
    state: [new Float32Array(600).fill(1), new Float32Array(600).fill(2)],
  });
  const original = await checkpoints.read(1);
  const files = ['parameters.safetensors', 'optimizer.safetensors', 'checkpoint.json'].map((name) => ({ place: join(path, name), whole: readFileSync(join(path, name)) }));
  await fuzz('checkpoints', ['checksum', 'invalid-file', 'missing-file'], async () => {
    const { place: file, whole } = files[rng.below(files.length)];
    writeFileSync(file, mutate(whole));
    try {
      if (!isDeepStrictEqual(await checkpoints.read(1), original)) throw new Error('a mutant was read as another checkpoint');
    } finally {
      writeFileSync(file, whole);
    }
  });
}
