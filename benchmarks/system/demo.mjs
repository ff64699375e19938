// The main job: does `longtail demo` reach 98.5 % in 60 s, set-up aside? Wall time is the whole command's.
//   node benchmarks/system/demo.mjs [--runs 3] [--json]
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } } });
const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const runs = [];
for (let run = 0; run < Number(values.runs); run++) {
  const startMs = performance.now();
  const output = execFileSync(process.execPath, [cli, 'demo', '--json'], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
  const verdict = JSON.parse(output.trim().split('\n').at(-1));
  runs.push({ wallSeconds: (performance.now() - startMs) / 1000, runSeconds: verdict.seconds, accuracy: verdict.metrics.validation_accuracy, engine: verdict.engine });
  console.error(JSON.stringify(runs.at(-1)));
}
if (values.json) console.log(JSON.stringify({ benchmark: 'demo', runs }));
