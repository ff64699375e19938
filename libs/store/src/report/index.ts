import { formatBytes, formatCount, formatSeconds, html, pageOf, type Markup, type StoredEvent } from '@longtail/core';
import { comparePlan } from '../comparison/compare-plan.js';
import { curveCharts, hasAccuracy } from './curves.js';
import { exchangeSection } from './exchange.js';
import { planTable } from './plan-table.js';
import { collectRun, type RunData } from './run-data.js';
import { formatWhole } from './scale.js';
import { SCRIPT } from './script.js';
import { incidentTable, jobSummary, workerTable } from './tables.js';
import { STYLE } from './theme.js';
import { throughputChart } from './throughput.js';
import { timelines } from './timeline.js';

/**
 * The report of a run as one HTML page that loads nothing: from its events alone, whether it is over or still going.
 * Curves are down-sampled, so that the page stays small however long the run.
 */
export function renderReport(events: readonly StoredEvent[]): string {
  const data = collectRun(events);
  const comparison = comparePlan(events);
  const exchange = exchangeSection(data);
  const title = data.job?.name ?? 'Run';
  const body = html`<main>
    ${heading(data, title)} ${tiles(data)}
    ${
      data.trainLoss.length + data.validationLoss.length > 0 &&
      html`<section class="card">
        <input class="switch" type="radio" name="axis" id="by-time" checked /><input
          class="switch"
          type="radio"
          name="axis"
          id="by-samples"
        />
        <div class="switches"><label for="by-time">by time</label><label for="by-samples">by samples</label></div>
        <h2>Learning</h2>
        ${curveCharts(data)}
      </section>`
    }
    ${
      data.workers.length > 0 &&
      html`<section class="card">
          <h2>Workers</h2>
          ${workerTable(data)}
        </section>
        <section class="card stack">
          <div class="wide">${throughputChart(data)}</div>
          ${timelines(data)}
        </section>`
    }
    ${
      exchange &&
      html`<section class="card">
        <h2>Links</h2>
        ${exchange}
      </section>`
    }
    ${
      comparison &&
      html`<section class="card">
        <h2>Plan</h2>
        ${planTable(comparison)}
      </section>`
    }
    <section class="card">
      <h2>What happened</h2>
      ${incidentTable(data)}
    </section>
    ${
      data.job &&
      html`<section class="card">
        <h2>Job</h2>
        ${jobSummary(data.job, data.parameters, data.sync)}
      </section>`
    }
    <footer>
      Drawn by Longtail from events.jsonl of run ${data.run}. Transfer is the part of a task's time that was not computing.
    </footer>
  </main>
  <div id="tip"></div>`;
  return pageOf({ title: `${title} · Longtail`, style: STYLE, body, script: SCRIPT });
}

function heading({ run, verdict, startMs }: RunData, title: string): Markup {
  const status = verdict?.status ?? 'not finished';
  const date = `${new Date(startMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return html`<header>
    <h1>${title}</h1>
    <span class="status ${verdict?.status ?? ''}">${status}</span>
    <p>
      Run ${run} ·
      ${date}${verdict && [verdict.engine, verdict.reason].filter((text) => text !== '').map((text) => html` · ${text}`)}${verdict && verdict.model !== '' && html`<br />${verdict.model}`}
    </p>
  </header>`;
}

function tiles(data: RunData): Markup {
  const { verdict, samplesPerEpoch, samplesApplied, seconds, workers } = data;
  const loss = verdict?.metrics.validation_loss ?? data.validationLoss.at(-1)?.value ?? null;
  const accuracy = verdict?.metrics.validation_accuracy ?? data.validationAccuracy.at(-1)?.value ?? null;
  const up = verdict?.bytes.up ?? workers.reduce((sum, { bytesUp }) => sum + bytesUp, 0);
  const down = verdict?.bytes.down ?? workers.reduce((sum, { bytesDown }) => sum + bytesDown, 0);
  const lost = verdict?.samples.lost ?? 0;
  const entries: [string, string][] = [];
  if (hasAccuracy(data)) entries.push(['Validation accuracy', accuracy === null ? '–' : `${(accuracy * 100).toFixed(2)} %`]);
  entries.push(['Validation loss', loss === null ? '–' : loss.toPrecision(3)]);
  entries.push([
    samplesPerEpoch ? `Samples, ${Number((samplesApplied / samplesPerEpoch).toFixed(2))} epochs` : 'Samples',
    formatWhole(samplesApplied),
  ]);
  if (lost > 0) entries.push(['Samples lost', formatWhole(lost)]);
  entries.push(['Time', formatSeconds(seconds)]);
  entries.push(['Samples a second', seconds > 0 ? formatCount(samplesApplied / seconds) : '–']);
  entries.push(['Traffic, up and down', formatBytes(up + down)]);
  return html`<section class="tiles">
    ${entries.map(([name, value]) => html`<div class="tile"><span>${name}</span><b>${value}</b></div>`)}
  </section>`;
}
