import { html, pageOf, type Markup, type BenchMode, type BenchResult } from '@longtail/core';
import { figureOf, timeToTarget, type Arms } from './arms.js';
import { inline, type Figure } from './figure.js';
import { accuracyOf, comparePredictions } from './predictions.js';
import { shortNumber } from './quantity.js';
import { SCRIPT } from './script.js';
import { STYLE } from './style.js';
import { bottleneckTable, fleetTable, FORMAT, predictionTable, refusedTable, summaryTable } from './tables.js';

export interface Charts {
  /** Of all arms. */
  readonly main: readonly Figure[];
  readonly gantts: readonly Figure[];
  readonly heatMaps: readonly Figure[];
}

/** Arms that have pictures of their own. */
export const PICTURED = 24;

const MODES: Readonly<Record<BenchMode, string>> = {
  live: 'real processes, on emulated devices and links',
  virtual: 'real arithmetic on a virtual clock and network',
  timing: 'a virtual clock and network, without arithmetic',
};

/** The report as one HTML page that loads nothing. @param files - beside it, relative to it */
export function renderPage(result: BenchResult, arms: Arms, charts: Charts, files: readonly string[]): string {
  const { scenario, description, mode, nodes, sweep } = result;
  const shown = sweep !== undefined && arms.shownKnob !== undefined ? `${sweep.knob} = ${arms.shownKnob}` : undefined;
  const best = arms.ranked.length > PICTURED && `The best ${PICTURED} of ${arms.ranked.length} arms.`;
  const several = arms.ranked.some(({ runs }) => runs.length > 1);
  const body = html`<main>
    <header>
      <h1>${scenario}</h1>
      <p>${description}</p>
      <p>
        ${counted(nodes.length, 'node')} · ${counted(new Set(result.arms.map(({ name }) => name)).size, 'arm')} · mode ${mode}:
        ${MODES[mode]}
      </p>
    </header>
    ${winnerCard(result, arms)}
    ${arms.ranked.length > 0 && card('The arms', [summaryTable(arms.ranked, result)], [shown && `At ${shown}; the other values are in series/arms.csv.`, several && 'Means of the seeds; their range below, where it says most.', 'Click a column to sort by it.'])}
    ${arms.ranked.some(({ runs }) => runs.length > 0) && card('What bounds each', [bottleneckTable(arms.ranked)], [shown && `At ${shown}.`])}
    ${predictionCard(result)}
    ${charts.main.length > 0 && card('Comparison', [drawn(charts.main, 'main')], [shown && `At ${shown}, except for the sweep.`])}
    ${charts.gantts.length > 0 && card('A few rounds, node by node', [drawn(charts.gantts)], [shown && `At ${shown}.`, best])}
    ${charts.heatMaps.length > 0 && card('Utilisation over the fleet', [drawn(charts.heatMaps)], [shown && `At ${shown}.`, best])}
    ${arms.refused.length > 0 && card('Arms that did not run', [refusedTable(arms.refused)], [])}
    ${card('The fleet', [fleetTable(result, arms.shownKnob)], [shown && `At ${shown}.`])}
    <footer>
      Drawn by Longtail from result.json.
      <details>
        <summary>The same charts as SVG for papers, and every series as CSV</summary>
        <ul>
          ${files.map((file) => html`<li><a href="${file}">${file}</a></li>`)}
        </ul>
      </details>
    </footer>
  </main>`;
  return pageOf({ title: `${scenario} · Longtail bench`, style: STYLE, body, script: SCRIPT });
}

function card(title: string, parts: readonly Markup[], notes: readonly (string | false | undefined)[]): Markup {
  const note = notes.filter((text) => text !== undefined && text !== false).join(' ');
  return html`<section class="card">
    <h2>${title}</h2>
    ${note !== '' && html`<p class="note">${note}</p>`}${parts}
  </section>`;
}

function drawn(figures: readonly Figure[], kind = ''): Markup {
  return html`<div class="charts ${kind}">${figures.map((figure) => html`<figure>${inline(figure)}</figure>`)}</div>`;
}

function winnerCard({ winner, targetLoss }: BenchResult, { ranked }: Arms): Markup {
  if (winner === undefined)
    return html`<section class="card winner">
      <b>No arm ran</b>
      <p>Their reasons are below.</p>
    </section>`;
  const runs = ranked.find(({ name }) => name === winner.arm)?.runs ?? [];
  const time = timeToTarget(runs);
  const tile = (name: string, value: number | undefined, format: (value: number) => string): Markup | false =>
    value !== undefined && html`<div><span>${name}</span><strong>${format(value)}</strong></div>`;
  return html`<section class="card winner">
    <h2>Winner</h2>
    <b>${winner.arm}</b>
    <p>${winner.reason}</p>
    <div class="tiles">
      ${tile(`Time to loss ${targetLoss === undefined ? '' : shortNumber(targetLoss)}`, time?.mean, FORMAT.time)}
      ${tile('Final loss', figureOf(runs, ({ finalLoss }) => finalLoss)?.mean, FORMAT.loss)}
      ${tile('Samples a second', figureOf(runs, ({ samplesPerSecond }) => samplesPerSecond)?.mean, FORMAT.count)}
      ${tile('Utilisation', figureOf(runs, ({ utilisation }) => utilisation)?.mean, FORMAT.percent)}
      ${tile('Energy', figureOf(runs, ({ energyWattHours }) => energyWattHours)?.mean, FORMAT.energy)}
      ${tile('Cost', figureOf(runs, ({ costDollars }) => costDollars)?.mean, FORMAT.dollars)}
    </div>
  </section>`;
}

function predictionCard(result: BenchResult): Markup | false {
  const all = comparePredictions(result);
  const accuracy = accuracyOf(all);
  if (accuracy === undefined) return false;
  const { meanError, tau } = accuracy;
  return card('Live against virtual time', [predictionTable(all)], [
    `Rounds are predicted within ${FORMAT.percent(meanError)} on average; the order of the arms by samples a second has Kendall's τ ${tau.toFixed(2)}.`,
    'Below each live figure what virtual time said of it, and by which part that is off.',
  ]);
}

function counted(count: number, noun: string): string {
  return `${new Intl.NumberFormat('en').format(count)} ${noun}${count === 1 ? '' : 's'}`;
}
