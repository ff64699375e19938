// Live against virtual: each arm of three scenarios as processes of this machine (emulated devices and links) and in virtual time;
// by how much the predicted time of a round is wrong, and whether the arms rank the same. Of nothing but rounds on fast links, which no
// arm has, virtual time knows what a task takes this machine itself. Takes six to nine minutes, in which nothing else may run.
//   node benchmarks/lab/live-virtual.mjs [--only pair|lines|straggler] [--json]
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { comparePredictions, kendallTau } from '@longtail/report';

const { values } = parseArgs({ options: { only: { type: 'string', default: '' }, json: { type: 'boolean', default: false } } });
const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const SCENARIOS = ['pair', 'lines', 'straggler'];

const found = [];
for (const name of SCENARIOS.filter((one) => one.includes(values.only))) {
  const out = join('bench', `live-virtual-${name}`);
  await promisify(execFile)(process.execPath, [cli, 'bench', fileURLToPath(new URL(`${name}.yaml`, import.meta.url)), '--mode', 'both', '--fresh', '--quiet', '--out', out]);
  const { arms, predicted } = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
  const rates = (list) => list.map(({ outcome }) => outcome.summary.samplesPerSecond);
  const rounds = comparePredictions({ arms, predicted }).filter(({ figure }) => figure === 'round ms');
  found.push({ name, rounds, tau: kendallTau(rates(arms), rates(predicted)), rates: [rates(arms), rates(predicted)] });
  if (values.json) continue;
  console.log(`${name}: Kendall's tau of samples/s ${found.at(-1).tau.toFixed(2)}`);
  for (const { arm, predicted: said, live, error } of rounds) console.log(`  ${arm.padEnd(26)} ${live.toFixed(0).padStart(6)} ms a round live, ${said.toFixed(0).padStart(6)} predicted: ${percent(error)}`);
}

const errors = found.flatMap(({ rounds }) => rounds.map(({ error }) => Math.abs(error))).sort((a, b) => a - b);
const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
const p95 = errors[Math.ceil(0.95 * errors.length) - 1];
const tau = kendallTau(...[0, 1].map((side) => found.flatMap(({ rates }) => rates[side])));
if (values.json) console.log(JSON.stringify({ found, mean, p95, tau }));
else console.log(`${errors.length} configurations: mean error ${percent(mean)} (at most 10 %), 95th percentile ${percent(p95)} (at most 20 %), tau over all ${tau.toFixed(2)} (at least 0.9)`);

function percent(part) {
  return `${(100 * part).toFixed(1)} %`;
}
