// Live against virtual: each arm of three scenarios as processes of this machine (emulated devices and links) and in virtual time;
// by how much the predicted time of a round is wrong, and whether the arms rank the same. Of nothing but rounds on fast links, which no
// arm has, virtual time knows what a task takes this machine itself. Live arms run twice, and their means count: how far the two runs
// are apart is what no prediction could tell. Takes twelve to sixteen minutes, in which nothing else may run.
//   node benchmarks/lab/live-virtual.mjs [--only pair|lines|straggler] [--repeats 2] [--json]
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { comparePredictions, kendallTau } from '@longtail/report';

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, repeats: { type: 'string', default: '2' }, json: { type: 'boolean', default: false } },
});
const repeats = Number(values.repeats);
const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const SCENARIOS = ['pair', 'lines', 'straggler'];

const arms = [];
for (const scenario of SCENARIOS.filter((one) => one.includes(values.only))) {
  const { arms: first, predicted } = await bench(scenario, 'both', 1);
  const results = [first];
  while (results.length < repeats) results.push((await bench(scenario, 'live', results.length + 1)).arms);
  const runs = results.map((arms) => comparePredictions({ arms, predicted }));
  for (const { name: arm } of first) {
    const [rounds, rates] = ['round ms', 'samples/s'].map((figure) =>
      runs.map((run) => run.find((one) => one.arm === arm && one.figure === figure)),
    );
    if (rounds.includes(undefined))
      throw new Error(`${scenario}: ${arm} was not done in each run; see ${folderOf(scenario, 1)} and the ones beside it`);
    const live = (figures) => figures.map((one) => one.live);
    arms.push({ scenario, arm, roundMs: live(rounds), saidMs: rounds[0].predicted, rates: live(rates), saidRate: rates[0].predicted });
  }
  if (!values.json) tell(arms.filter((one) => one.scenario === scenario));
}

const [predictions, again] = [accuracy(arms), repeats > 1 ? accuracy(arms.map(secondOfFirst)) : undefined];
if (values.json) console.log(JSON.stringify({ arms, ...predictions, again }));
else {
  console.log(`${arms.length} configurations: ${told(predictions)}; at most 10 %, 20 %, at least 0.9`);
  if (again !== undefined) console.log(`a live run by another one of the same arms: ${told(again)}`);
}

/** Its result. */
async function bench(scenario, mode, run) {
  const out = folderOf(scenario, run);
  const file = fileURLToPath(new URL(`${scenario}.yaml`, import.meta.url));
  await promisify(execFile)(process.execPath, [cli, 'bench', file, '--mode', mode, '--fresh', '--quiet', '--out', out]);
  return JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
}

function folderOf(scenario, run) {
  return join('bench', `live-virtual-${scenario}-${run}`);
}

/** As if the second run predicted the first. */
function secondOfFirst({ roundMs: [first, second], rates: [firstRate, secondRate], ...arm }) {
  return { ...arm, roundMs: [first], saidMs: second, rates: [firstRate], saidRate: secondRate };
}

function accuracy(arms) {
  const errors = arms.map((arm) => Math.abs(errorOf(arm))).sort((a, b) => a - b);
  return { mean: mean(errors), p95: errors[Math.ceil(0.95 * errors.length) - 1], tau: tauOf(arms) };
}

function errorOf({ roundMs, saidMs }) {
  return saidMs / mean(roundMs) - 1;
}

function tauOf(arms) {
  return kendallTau(
    arms.map(({ rates }) => mean(rates)),
    arms.map(({ saidRate }) => saidRate),
  );
}

function tell(arms) {
  console.log(`${arms[0].scenario}: Kendall's tau of samples/s ${tauOf(arms).toFixed(2)}`);
  for (const arm of arms) {
    const live = arm.roundMs.map((ms) => ms.toFixed(0).padStart(6)).join(' and');
    console.log(
      `  ${arm.arm.padEnd(26)} ${live} ms a round live, ${arm.saidMs.toFixed(0).padStart(6)} predicted: ${percent(errorOf(arm))}`,
    );
  }
}

function told({ mean, p95, tau }) {
  return `mean error ${percent(mean)}, 95th percentile ${percent(p95)}, tau ${tau.toFixed(2)}`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(part) {
  return `${(100 * part).toFixed(1)} %`;
}
