// From `longtail launch` typed to the first applied gradient heard, on four workers that have joined.
//   node benchmarks/system/launch.mjs [--job examples/mnist.yaml] [--runs 5] [--json]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import yaml from 'yaml';
import { launch, median, startFleet } from './fleet.mjs';

const { values } = parseArgs({
  options: {
    job: { type: 'string', default: fileURLToPath(new URL('../../examples/mnist.yaml', import.meta.url)) },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});

const fleet = await startFleet({ paces: [1, 0.6, 0.4, 0.25], threads: 1 });
const seconds = [];
try {
  const job = yaml.parse(readFileSync(values.job, 'utf8'));
  const short = { ...job, train: { ...job.train, maxSamples: 20 * job.train.batch }, validation: { maxSamples: 256 }, cluster: { minWorkers: 4 } };
  const file = join(fleet.folder, 'job.yaml');
  writeFileSync(file, yaml.stringify(short));
  for (let run = 0; run < Number(values.runs); run++) {
    const events = await launch(file, fleet.address);
    seconds.push(events.find(({ event }) => event === 'commit').heardMs / 1000);
    console.error(`launch ${run + 1}: ${seconds.at(-1).toFixed(2)} s to the first commit`);
  }
} finally {
  await fleet.end();
}
const result = { benchmark: 'launch', seconds, first: seconds[0], median: median(seconds) };
console.log(values.json ? JSON.stringify(result) : `launch to the first applied gradient: ${result.first.toFixed(2)} s the first time, median ${result.median.toFixed(2)} s`);
