// Mutants of job files and of checkpoints: each is refused with an error that says why, or read as what it is.
//   node benchmarks/system/fuzz-files.mjs [--mutants 10000] [--seed 1]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { createRng, layOut } from '@longtail/core';
import { parseJobFile, resolveJob, validateJob } from '@longtail/spec';
import { checkpointFolder } from '@longtail/store';

const { values: options } = parseArgs({ options: { mutants: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } } });
const count = Number(options.mutants);
const rng = createRng(`files/${options.seed}`);

/** @param {Uint8Array} original */
function mutate(original) {
  const bytes = Buffer.from(original);
  for (let changes = 1 + rng.below(3); changes > 0; changes--) bytes[rng.below(bytes.length)] = rng.below(256);
  const at = rng.below(bytes.length);
  return [bytes, bytes, bytes, bytes.subarray(0, at), Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + rng.below(9))]), Buffer.concat([bytes, bytes.subarray(at)])][rng.below(6)];
}

/** @param {string} what @param {readonly string[]} codes @param {(mutant: number) => unknown} read */
async function fuzz(what, codes, read) {
  const startedMs = performance.now();
  let refused = 0;
  for (let mutant = 1; mutant <= count; mutant++) {
    try {
      await read(mutant);
    } catch (error) {
      if (!codes.includes(error.code)) throw new Error(`${what}, seed ${options.seed}, mutant ${mutant}: ${error.stack}`, { cause: error });
      refused++;
    }
  }
  console.log(`${what}: ${count} mutants, ${refused} refused, ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
}

const job = readFileSync('examples/gpt-pipeline.yaml');
await fuzz('job files', ['invalid-file'], () => validateJob(parseJobFile(mutate(job).toString(), 'job.yaml')));

const folder = mkdtempSync(join(tmpdir(), 'longtail-fuzz-'));
const checkpoints = checkpointFolder(folder, { keep: 1 });
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
try {
  await fuzz('checkpoints', ['checksum', 'invalid-file', 'missing-file'], async () => {
    const { place, whole } = files[rng.below(files.length)];
    writeFileSync(place, mutate(whole));
    try {
      if (!isDeepStrictEqual(await checkpoints.read(1), original)) throw new Error('a mutant was read as another checkpoint');
    } finally {
      writeFileSync(place, whole);
    }
  });
} finally {
  rmSync(folder, { recursive: true });
}
