import { formatBytes, formatCount, formatSeconds, html, type Job, type Markup } from '@longtail/core';
import type { Incident, RunData, WorkerData } from './run-data.js';
import { formatClock, formatWhole } from './scale.js';
import { workerColour } from './theme.js';

const MAX_INCIDENTS = 60;

/** Who did what. */
export function workerTable(data: RunData): Markup {
  const total = data.workers.reduce((sum, { part }) => sum + part, 0);
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Worker</th>
          <th>Device</th>
          <th>Share of the samples</th>
          <th class="n">Samples</th>
          <th class="n">Samples/s</th>
          <th class="n">Rounds</th>
          <th class="n">Computing</th>
          <th class="n">Transfer</th>
          <th class="n">Waiting</th>
          <th class="n">Up</th>
          <th class="n">Down</th>
        </tr>
      </thead>
      <tbody>
        ${data.workers.map((worker, i) => workerRow(worker, i, total))}
      </tbody>
    </table>
  </div>`;
}

function workerRow(worker: WorkerData, i: number, total: number): Markup {
  const { name, engine, device, throttle, samples, spans, rejected, computeMs, transferMs, waitMs } = worker;
  const share = total > 0 ? samples / total : 0;
  const busyMs = computeMs + transferMs + waitMs;
  const part = (ms: number): string => (busyMs > 0 ? `${Math.round((100 * ms) / busyMs)} %` : '–');
  const computed = spans.reduce((sum, span) => sum + span.samples, 0);
  const paced = throttle !== undefined && throttle < 1 ? `paced to ${Math.round(throttle * 100)} %` : '';
  return html`<tr>
    <td class="name"><i class="key" style="background:${workerColour(i)}"></i>${name}</td>
    <td>${device || engine}${paced !== '' && html`<span class="sub">${paced}</span>`}</td>
    <td class="name">
      <span class="bar"><b style="width:${(share * 100).toFixed(1)}%;background:${workerColour(i)}"></b></span>${(share * 100).toFixed(1)} %
    </td>
    <td class="n">${formatWhole(samples)}</td>
    <td class="n">${computeMs > 0 ? formatCount((computed / computeMs) * 1000) : '–'}</td>
    <td class="n">${spans.length}${rejected > 0 && html`<span class="sub">${rejected} not applied</span>`}</td>
    <td class="n">${part(computeMs)}</td>
    <td class="n">${part(transferMs)}</td>
    <td class="n">${part(waitMs)}</td>
    <td class="n">${formatBytes(worker.bytesUp)}</td>
    <td class="n">${formatBytes(worker.bytesDown)}</td>
  </tr>`;
}

const INCIDENT_NAMES: Readonly<Record<Incident['kind'], string>> = {
  warning: 'warning',
  error: 'error',
  left: 'left',
  paused: 'paused',
  resumed: 'resumed',
  joined: 'joined',
  rejected: 'not applied',
};

/** Warnings, errors, comings and goings, contributions that were not applied. */
export function incidentTable({ incidents, seconds }: RunData): Markup {
  if (incidents.length === 0) return html`<p class="note">Nothing: no worker left, every contribution was applied.</p>`;
  const hidden = incidents.length - MAX_INCIDENTS;
  return html`<table>
      <tbody>
        ${incidents.slice(0, MAX_INCIDENTS).map(
          ({ seconds: at, kind, text, hint }) =>
            html`<tr>
              <td class="n" style="width:1%">${formatClock(at, Math.max(120, seconds))}</td>
              <td style="width:1%"><span class="tag ${kind}">${INCIDENT_NAMES[kind]}</span></td>
              <td>${text}${hint !== '' && html`<span class="sub">${hint}</span>`}</td>
            </tr>`,
        )}
      </tbody>
    </table>
    ${hidden > 0 && html`<p class="note">${hidden} more are in events.jsonl.</p>`}`;
}

/** The job in a few lines, and whole on demand. */
export function jobSummary(job: Job, parameters: number | undefined, chosenSync: string | undefined): Markup {
  const { model, data, train, validation, sync, cluster, checkpoint } = job;
  const rows: [string, string][] = [
    ['Model', `${describe(model)}${parameters === undefined ? '' : ` · ${formatCount(parameters)} parameters`}`],
    ['Data', describe(data)],
    [
      'Training',
      `${train.epochs} epoch${train.epochs === 1 ? '' : 's'}${train.maxSamples === undefined ? '' : `, at most ${formatWhole(train.maxSamples)} samples`} · batch ${train.batch} · ${job.loss} · seed ${train.seed}`,
    ],
    [
      'Optimizer',
      `${describe(train.optimizer)} · learning rate ${train.learningRate} (${describe(train.schedule)})${train.clipNorm === undefined ? '' : ` · clipped to norm ${train.clipNorm}`}`,
    ],
    [
      'Synchronisation',
      `${chosenSync === undefined ? `${sync.strategy.toUpperCase()} · ${sync.codec}` : `AUTO · ${chosenSync}`} · deadline ${sync.deadlineFactor} × the expected time, at least ${formatSeconds(sync.minDeadlineMs / 1000)}`,
    ],
    [
      'Validation',
      `every ${validation.everyEpochs === 1 ? 'epoch' : `${validation.everyEpochs} epochs`}${validation.maxSamples === undefined ? '' : ` on ${formatWhole(validation.maxSamples)} samples`}`,
    ],
    [
      'Cluster',
      `at least ${cluster.minWorkers} worker${cluster.minWorkers === 1 ? '' : 's'}${cluster.engine === undefined ? '' : ` on ${cluster.engine}`} · checkpoint every ${formatSeconds(checkpoint.everyMs / 1000)}`,
    ],
  ];
  return html`<dl>
      ${rows.map(
        ([term, text]) =>
          html`<dt>${term}</dt>
            <dd>${text}</dd>`,
      )}
    </dl>
    <details>
      <summary>The whole job</summary>
      <pre>${JSON.stringify(job, undefined, 2)}</pre>
    </details>`;
}

/** `{ type: 'cnn', kernel: 3, channels: [32, 64] }` → `cnn, kernel 3, channels 32 64`: right for kinds that are added later, too. */
function describe(value: { readonly type: string }): string {
  const fields = Object.entries(value).flatMap(([name, field]: [string, unknown]) => {
    if (name === 'type' || field === undefined || field === null || field === false) return [];
    const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    if (field === true) return [words];
    return [`${words} ${Array.isArray(field) ? field.join(' ') : typeof field === 'object' ? JSON.stringify(field) : String(field)}`];
  });
  return [value.type, ...fields].join(', ');
}
