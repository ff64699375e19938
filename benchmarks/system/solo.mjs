// One worker under Longtail against the same loop without it: samples a second, pair by pair.
//   node benchmarks/system/solo.mjs [--job benchmarks/system/solo-gpt.yaml] [--threads 1] [--pairs 5] [--json]
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nativeEnvironment } from '@longtail/engine/native';
import yaml from 'yaml';
import { launch, median, startFleet } from './fleet.mjs';

const { values } = parseArgs({
  options: {
    job: { type: 'string', default: fileURLToPath(new URL('./solo-cnn.yaml', import.meta.url)) },
    threads: { type: 'string', default: '1' },
    pairs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const { train } = yaml.parse(readFileSync(values.job, 'utf8'));

function plain() {
  const script = fileURLToPath(new URL('./plain-loop.mjs', import.meta.url));
  const env = { ...process.env, ...nativeEnvironment(), TF_NUM_INTRAOP_THREADS: values.threads, TF_NUM_INTEROP_THREADS: '1' };
  return JSON.parse(execFileSync(process.execPath, [script, values.job, values.threads, String(train.maxSamples)], { env, encoding: 'utf8' })).samplesPerSecond;
}

/** From the first commit to the last: grants, uploads, commits and checkpoints included. */
async function underLongtail() {
  const fleet = await startFleet({ paces: [1], threads: Number(values.threads) });
  try {
    const commits = (await launch(values.job, fleet.address)).filter(({ event }) => event === 'commit');
    const [first, last] = [commits[0], commits.at(-1)];
    return (last.samplesApplied - first.samplesApplied) / ((last.heardMs - first.heardMs) / 1000);
  } finally {
    await fleet.end();
  }
}

const pairs = [];
for (let pair = 0; pair < Number(values.pairs); pair++) {
  const [alone, under] = [plain(), await underLongtail()];
  pairs.push({ plain: alone, longtail: under, ratio: under / alone });
  console.error(`pair ${pair + 1}: plain ${alone.toFixed(0)} samples/s, Longtail ${under.toFixed(0)}, ratio ${(under / alone).toFixed(3)}`);
}
const result = { benchmark: 'solo', threads: Number(values.threads), pairs, ratio: median(pairs.map(({ ratio }) => ratio)) };
console.log(values.json ? JSON.stringify(result) : `one worker under Longtail: ${(100 * result.ratio).toFixed(1)} % of the plain loop (median of ${pairs.length} pairs)`);
