import { formatBitRate, html, type BenchLink, type BenchResult, type BenchSummary, type Markup } from '@longtail/core';
import { figureOf, timeToTarget, type Arm, type Arms, type Run } from './arms.js';
import { armStyle } from './palette.js';
import type { Prediction } from './predictions.js';
import { BYTES, COUNT, ENERGY, formatRange, inUnits, shortNumber, TIME } from './quantity.js';
import type { Spread } from './spread.js';

interface Column {
  readonly title: string;
  /** Also the range over the seeds. */
  readonly ranged: boolean;
  value(runs: readonly Run[]): Spread | undefined;
  format(value: number): string;
}

/** The arms, best first, each figure as the mean of its seeds; without the columns that say nothing of any arm. */
export function summaryTable(arms: readonly Arm[], { targetLoss }: BenchResult): Markup {
  const ran = arms.filter(({ runs }) => runs.length > 0);
  const columns = allColumns(targetLoss).filter(({ value }) => ran.some(({ runs }) => (value(runs)?.max ?? 0) > 0));
  return html`<div class="scroll">
    <table class="sortable">
      <thead>
        <tr>
          <th><button type="button">#</button></th>
          <th><button type="button">Arm</button></th>
          ${columns.map(({ title }) => html`<th class="n"><button type="button">${title}</button></th>`)}
        </tr>
      </thead>
      <tbody>
        ${ran.map(
          (arm, i) =>
            html`<tr>
              <td class="n" data-value="${i}">${i + 1}</td>
              <td class="name" data-value="${arm.name}">${keyed(arm)}</td>
              ${columns.map((column) => cell(arm.runs, column))}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** What bounds each arm: seeds that something else bounds have a line of their own. */
export function bottleneckTable(arms: readonly Arm[]): Markup {
  return html`<table>
    <tbody>
      ${arms
        .filter(({ runs }) => runs.length > 0)
        .map(
          (arm) =>
            html`<tr>
              <td class="name">${keyed(arm)}</td>
              <td>${[...new Set(arm.runs.map(({ outcome }) => outcome.bottleneck))].map((line) => html`<div>${line}</div>`)}</td>
            </tr>`,
        )}
    </tbody>
  </table>`;
}

function keyed({ index, name }: Arm): Markup {
  return html`<i class="key" style="background:${armStyle(index).colour}"></i>${name}`;
}

/** Each figure as it was live, and below what virtual time said of it. */
export function predictionTable(predictions: readonly Prediction[]): Markup {
  const figures = [...new Set(predictions.map(({ figure }) => figure))];
  const runs = groupBy(predictions, ({ arm, seed, knob }) => JSON.stringify([arm, seed, knob]));
  const told = ({ predicted, error }: Prediction, format: (value: number) => string): string =>
    `${format(predicted)}, ${error < 0 ? '−' : '+'}${FORMAT.percent(Math.abs(error))}`;
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Arm</th>
          ${figures.map((figure) => html`<th class="n">${PREDICTED[figure].title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${[...runs.values()].map((run) => {
          const [{ arm, seed, knob }] = run;
          const cells = figures.map((figure) => {
            const one = run.find((prediction) => prediction.figure === figure);
            if (one === undefined) return html`<td class="n">–</td>`;
            const { format } = PREDICTED[figure];
            return html`<td class="n">${format(one.live)}<span class="sub">${told(one, format)}</span></td>`;
          });
          return html`<tr>
            <td class="name">${arm}<span class="sub">${knob !== undefined && `at ${knob}, `}seed ${seed}</span></td>
            ${cells}
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

/** What the scenario described, alike nodes together; links as all seeds drew them at the value of the knob that is shown. */
export function fleetTable({ nodes, links }: BenchResult, shownKnob: string | undefined): Markup {
  const drawn = links.filter(({ knob }) => shownKnob === undefined || knob === shownKnob);
  const devices = groupBy([...nodes.keys()], (node) => nodes[node].device);
  const range = (values: readonly number[], format: (value: number) => string): Markup => {
    const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    return html`<td class="n">${formatRange(low, high, format)}</td>`;
  };
  const linked = (some: readonly number[], of: (link: BenchLink) => number, format: (value: number) => string): Markup =>
    range(
      drawn.flatMap((draw) => some.map((node) => of(draw.links[node]))),
      format,
    );
  const price = (value: number): string => (Number.isNaN(value) ? '–' : `$${shortNumber(value)}`);
  const heads = ['Nodes', 'Up', 'Down', 'Round trip', 'Power', 'List price'];
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Device</th>
          ${heads.map((head) => html`<th class="n">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${[...devices].map(
          ([device, some]) =>
            html`<tr>
              <td>${device}</td>
              <td class="n">${some.length}</td>
              ${linked(some, ({ up }) => up, formatBitRate)} ${linked(some, ({ down }) => down, formatBitRate)}
              ${linked(some, ({ rtt }) => rtt, inUnits(TIME))}
              ${range(
                some.map((node) => nodes[node].watts),
                (watts) => `${shortNumber(watts)} W`,
              )}
              ${range(
                some.map((node) => nodes[node].dollars ?? NaN),
                price,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Arms that did not run and why, seeds with the same reason together. */
export function refusedTable(refused: Arms['refused']): Markup {
  const alike = groupBy(refused, ({ name, knob, refusal }) => JSON.stringify([name, knob, refusal]));
  return html`<div class="scroll">
    <table>
      <tbody>
        ${[...alike.values()].map(
          (some) =>
            html`<tr>
              <td class="name">
                ${some[0].name}<span class="sub"
                  >${some[0].knob !== undefined && `at ${some[0].knob}, `}${some.length === 1 ? 'seed' : 'seeds'}
                  ${some.map(({ seed }) => seed).join(', ')}</span
                >
              </td>
              <td><span class="tag ${some[0].refusal.status}">${some[0].refusal.status}</span></td>
              <td>${some[0].refusal.reason}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** How figures of a run are written. */
export const FORMAT = {
  percent: (part: number): string => `${(part * 100).toFixed(1)} %`,
  time: inUnits(TIME),
  count: inUnits(COUNT),
  bytes: inUnits(BYTES),
  energy: inUnits(ENERGY),
  dollars: (value: number): string => (value > 0 && value < 1 ? `$${value.toPrecision(3)}` : `$${value.toFixed(2)}`),
  loss: (value: number): string => value.toPrecision(4),
};

const PREDICTED: Readonly<Record<Prediction['figure'], { readonly title: string; format(value: number): string }>> = {
  'round ms': { title: 'Time of a round', format: FORMAT.time },
  'samples/s': { title: 'Samples/s', format: FORMAT.count },
  busy: { title: 'Busy', format: FORMAT.percent },
  'bytes up': { title: 'Up a node', format: FORMAT.bytes },
  'bytes down': { title: 'Down a node', format: FORMAT.bytes },
  loss: { title: 'Final loss', format: FORMAT.loss },
};

function allColumns(targetLoss: number | undefined): readonly Column[] {
  const of = (title: string, field: (summary: BenchSummary) => number | undefined, format: Column['format'], ranged = false): Column => ({
    title,
    ranged,
    value: (runs) => figureOf(runs, field),
    format,
  });
  const target = targetLoss === undefined ? 'target' : shortNumber(targetLoss);
  return [
    { title: `Time to ${target}`, ranged: true, value: timeToTarget, format: FORMAT.time },
    of('Final loss', ({ finalLoss }) => finalLoss, FORMAT.loss, true),
    of('Samples/s', ({ samplesPerSecond }) => samplesPerSecond, FORMAT.count, true),
    of('Busy', ({ utilisation }) => utilisation, FORMAT.percent),
    of('Bubble', ({ bubble }) => bubble, FORMAT.percent),
    of('Up a node', ({ bytesUpPerNode }) => bytesUpPerNode, FORMAT.bytes),
    of('Down a node', ({ bytesDownPerNode }) => bytesDownPerNode, FORMAT.bytes),
    of('Staleness', ({ staleness }) => staleness, shortNumber),
    of('Samples lost', ({ lostSamples }) => lostSamples, FORMAT.count),
    of('Energy', ({ energyWattHours }) => energyWattHours, FORMAT.energy),
    of('Cost', ({ costDollars }) => costDollars, FORMAT.dollars),
    of('Rounds', ({ rounds }) => rounds, FORMAT.count),
    of('Run time', ({ wallMs }) => wallMs, FORMAT.time),
  ];
}

function cell(runs: readonly Run[], { value, format, ranged }: Column): Markup {
  const figure = value(runs);
  if (figure === undefined) return html`<td class="n" data-value="">–</td>`;
  const { mean, min, max } = figure;
  return html`<td class="n" data-value="${mean}">
    ${format(mean)}${ranged && format(min) !== format(max) && html`<span class="sub">${formatRange(min, max, format)}</span>`}
  </td>`;
}

function groupBy<T>(values: readonly T[], key: (value: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return groups;
}
