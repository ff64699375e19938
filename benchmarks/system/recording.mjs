// What --record costs the server: its CPU time over a launch with and without, in turn; the size of the recording, and how long
// `longtail replay` takes. Linux only.
//   node benchmarks/system/recording.mjs [--job examples/mnist.yaml] [--samples 60000] [--runs 3] [--codec fp32] [--engine tensorflow]
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch, median, startFleet } from './fleet.mjs';

const { values } = parseArgs({
  options: {
    job: { type: 'string', default: 'examples/mnist.yaml' },
    samples: { type: 'string', default: '60000' },
    runs: { type: 'string', default: '3' },
    codec: { type: 'string', default: 'fp32' },
    engine: { type: 'string', default: 'tensorflow' },
  },
});
const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const paces = [1, 0.6, 0.4, 0.25];

/** Of a process and its threads so far. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const fleet = await startFleet({ paces, threads: 1, engine: values.engine });
try {
  const base = `${readFileSync(values.job, 'utf8').replace(/^train:$/m, `train:\n  maxSamples: ${values.samples}`)}\nsync: { codec: ${values.codec} }\ncluster: { minWorkers: ${paces.length} }\n`;
  const files = { without: join(fleet.folder, 'without.yaml'), with: join(fleet.folder, 'with.yaml') };
  writeFileSync(files.without, base);
  writeFileSync(files.with, `${base}record: { maxBytes: 8GiB }\n`);
  const rows = [];
  await launch(files.without, fleet.address);
  for (let i = 0; i < Number(values.runs); i++) {
    for (const kind of i % 2 === 0 ? ['with', 'without'] : ['without', 'with']) {
      const before = cpuSeconds(fleet.server.pid);
      const events = await launch(files[kind], fleet.address);
      const verdict = events.at(-1);
      const commits = events.filter(({ event }) => event === 'commit').length;
      const estimate = events.find(({ event }) => event === 'recording')?.neededBytes;
      rows.push({ kind, cpu: cpuSeconds(fleet.server.pid) - before, seconds: verdict.seconds, up: verdict.bytes.up, commits, estimate, run: verdict.run });
      console.log(JSON.stringify(rows.at(-1)));
    }
  }
  for (const kind of ['without', 'with']) {
    const of = (key) => median(rows.filter((row) => row.kind === kind).map((row) => row[key]));
    console.log(`${kind}: server ${of('cpu').toFixed(2)} CPU s, run ${of('seconds').toFixed(1)} s`);
  }
  const recorded = rows.filter(({ kind }) => kind === 'with').at(-1);
  const folder = readdirSync(fleet.folder).find((name) => name.endsWith(recorded.run));
  const bytes = statSync(join(fleet.folder, folder, 'recording', 'v00000000', 'contributions.bin')).size;
  const { seconds, result } = JSON.parse(execFileSync(process.execPath, [cli, 'replay', join(fleet.folder, folder), '--json'], { encoding: 'utf8' }));
  console.log(`recording ${bytes} bytes of ${recorded.commits} commits, estimated ${recorded.estimate}; replay ${result} in ${seconds.toFixed(2)} s`);
} finally {
  await fleet.end();
}
