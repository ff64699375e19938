import { formatCount, formatSeconds, type BenchArm, type BenchOutcome, type BenchResult } from '@longtail/core';
import { comparePredictions, kendallTau } from '@longtail/lab';
import type { Colors } from './colors.js';
import { percent } from './marks.js';
import { renderTable } from './table.js';

/** What a bench found, for people: a row an arm, what bounds each, who could not run and why, the winner. */
export function benchLines(result: BenchResult, report: string, colors: Colors): readonly string[] {
  const { bold, dim, green, yellow } = colors;
  const { scenario, mode, nodes, arms, winner, sweep, targetLoss } = result;
  const done = arms.flatMap((arm) => (arm.outcome.status === 'done' ? [{ arm, outcome: arm.outcome }] : []));
  const label = labels(result);
  return [
    `${bold(scenario)}: ${nodes.length} machines, mode ${mode}${sweep === undefined ? '' : `, ${sweep.knob} from ${sweep.values[0]} to ${sweep.values.at(-1)}`}`,
    '',
    ...(done.length === 0 ? [] : [...renderTable(headings(result), done.map(({ arm, outcome }) => [...label(arm), ...figures(outcome, targetLoss)]), colors, label(done[0]!.arm).length).split('\n'), '']),
    ...done.map(({ arm, outcome }) => dim(`${label(arm).join(', ')}: ${outcome.bottleneck}`)),
    ...failureLines(result).map(yellow),
    ...predictionLines(result, colors),
    ...(winner === undefined ? [] : ['', `${green(`best: ${bold(winner.arm)}`)}: ${winner.reason}`]),
    `report  ${report}`,
  ];
}

/** A line for each reason of an arm, however many seeds and values of the knob it has the same of. */
function failureLines(result: BenchResult): readonly string[] {
  const label = labels(result);
  const lines: { readonly name: string; readonly why: string; readonly alike: BenchArm[] }[] = [];
  for (const arm of result.arms) {
    if (arm.outcome.status === 'done') continue;
    const { name, outcome } = arm;
    const why = `${outcome.status === 'refused' ? 'cannot run' : 'failed'}: ${outcome.reason}`;
    const line = lines.find((before) => before.name === name && before.why === why);
    if (line === undefined) lines.push({ name, why, alike: [arm] });
    else line.alike.push(arm);
  }
  return lines.map(({ name, why, alike }) => {
    const all = result.arms.filter((arm) => arm.name === name).length === alike.length;
    return `${all ? name : alike.map((arm) => label(arm).join(', ')).join('; ')} ${why}`;
  });
}

/** What tells arms apart: their names, and seeds and values of the knob where there are several. */
function labels({ arms, sweep }: BenchResult): (arm: BenchArm) => readonly string[] {
  const seeds = new Set(arms.map(({ seed }) => seed)).size > 1;
  return ({ name, seed, knob }) => [name, ...(sweep === undefined ? [] : [knob ?? '']), ...(seeds ? [`seed ${seed}`] : [])];
}

function headings({ arms, sweep, targetLoss }: BenchResult): readonly string[] {
  const seeds = new Set(arms.map(({ seed }) => seed)).size > 1;
  return [
    'arm',
    ...(sweep === undefined ? [] : [sweep.knob]),
    ...(seeds ? ['seed'] : []),
    ...(targetLoss === undefined ? [] : [`to ${targetLoss}`]),
    ...['loss', 'time', 'samples/s', 'busy', 'bubble', 'up a node', 'down a node', 'stale', 'lost', 'energy', 'cost'],
  ];
}

function figures({ summary }: BenchOutcome, targetLoss: number | undefined): readonly string[] {
  const { timeToTargetMs, finalLoss, wallMs, samplesPerSecond, utilisation, bubble, bytesUpPerNode, bytesDownPerNode, staleness, lostSamples, energyWattHours, costDollars } = summary;
  return [
    ...(targetLoss === undefined ? [] : [timeToTargetMs === undefined ? 'not reached' : formatSeconds(timeToTargetMs / 1000)]),
    finalLoss === undefined ? '–' : finalLoss.toFixed(3),
    formatSeconds(wallMs / 1000),
    formatCount(samplesPerSecond),
    percent(utilisation),
    bubble === undefined ? '–' : percent(bubble),
    `${formatCount(bytesUpPerNode)}B`,
    `${formatCount(bytesDownPerNode)}B`,
    staleness.toFixed(2),
    formatCount(lostSamples),
    `${formatCount(energyWattHours)}Wh`,
    `$${costDollars.toPrecision(3)}`,
  ];
}

/** How far virtual time is off, figure by figure, and over all rounds. */
function predictionLines({ arms, predicted }: BenchResult, colors: Colors): readonly string[] {
  if (predicted === undefined) return [];
  const all = comparePredictions(arms, predicted);
  const rounds = all.filter(({ figure }) => figure === 'round ms');
  if (rounds.length === 0) return [];
  const mean = rounds.reduce((sum, { error }) => sum + Math.abs(error), 0) / rounds.length;
  const tau = kendallTau(rounds.map(({ live }) => live), rounds.map(({ predicted: said }) => said));
  const rows = all.map(({ arm, figure, predicted: said, live, error }) => [arm, figure, said.toPrecision(4), live.toPrecision(4), `${error < 0 ? '−' : '+'}${percent(Math.abs(error), 1)}`]);
  return ['', ...renderTable(['arm', 'figure', 'predicted', 'live', 'error'], rows, colors, 2).split('\n'), '', `rounds are predicted within ${percent(mean, 1)} on average, their order with Kendall's τ ${tau.toFixed(2)}`];
}
