import { formatCount, formatSeconds, type BenchArm, type BenchOutcome, type BenchResult } from '@longtail/core';
import { accuracyOf, comparePredictions } from '@longtail/report';
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
function labels({ arms, sweep }: BenchResult): (arm: Pick<BenchArm, 'name' | 'seed' | 'knob'>) => readonly string[] {
  const seeds = new Set(arms.map(({ seed }) => seed)).size > 1;
  return ({ name, seed, knob }) => [name, ...(sweep === undefined ? [] : [knob ?? '']), ...(seeds ? [`seed ${seed}`] : [])];
}

/** Of the columns of `labels`. */
function armHeadings({ arms, sweep }: BenchResult): readonly string[] {
  const seeds = new Set(arms.map(({ seed }) => seed)).size > 1;
  return ['arm', ...(sweep === undefined ? [] : [sweep.knob]), ...(seeds ? ['seed'] : [])];
}

function headings(result: BenchResult): readonly string[] {
  const { targetLoss } = result;
  return [
    ...armHeadings(result),
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

/** How far virtual time is off, figure by figure, and over all. */
function predictionLines(result: BenchResult, colors: Colors): readonly string[] {
  const all = comparePredictions(result);
  const accuracy = accuracyOf(all);
  if (accuracy === undefined) return [];
  const label = labels(result);
  const rows = all.map(({ arm, figure, predicted, live, error, ...run }) => [...label({ name: arm, ...run }), figure, predicted.toPrecision(4), live.toPrecision(4), `${error < 0 ? '−' : '+'}${percent(Math.abs(error), 1)}`]);
  const names = armHeadings(result);
  return [
    '',
    ...renderTable([...names, 'figure', 'predicted', 'live', 'error'], rows, colors, names.length + 1).split('\n'),
    '',
    `rounds are predicted within ${percent(accuracy.meanError, 1)} on average, the arms' order by samples/s with Kendall's τ ${accuracy.tau.toFixed(2)}`,
  ];
}
