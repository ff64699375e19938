import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRng, hasErrorFeedback, layOut, type RunEvent } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { parseJobFile } from '@longtail/spec';
import { readFlat } from '@longtail/store';
import { EVERY_CODEC_ONE_WAY, strategyConformance, type SyncRow, type TrainedRun, type WorkerNote } from '@longtail/testing';
import { connectClient, type ControlClient } from '@longtail/transport';
import { stringify } from 'yaml';
import { afterAll, beforeAll } from 'vitest';
import { RunServer, watchRun } from '../terminal/run-events.js';
import type { CliProcess } from './cli-process.js';
import { Fleet } from './fleet.js';

const FEATURES = 60;
const CLASSES = 3;
const HIDDEN = 64;
const ROWS = 640;
const TRAIN_ROWS = 0.9 * ROWS;
const EPOCHS = 2;
const { signal } = new AbortController();
const kernels = createKernels();

let fleet: Fleet;
let client: ControlClient;

beforeAll(async () => {
  // So slow that a round is shorter with all of them: an exchange takes more of this machine the more there are.
  fleet = await Fleet.stand([0.04, 0.028, 0.02]);
  await writeFile(join(fleet.folder, 'clusters.csv'), clusters());
  client = await connectClient(fleet.address, signal);
});

afterAll(async () => {
  client?.close();
  await fleet?.down();
});

/** Gaussian clusters as a table: a class a centre. */
function clusters(): string {
  const rng = createRng(7);
  const centres = Array.from({ length: CLASSES * FEATURES }, () => rng.normal());
  const header = ['label', ...Array.from({ length: FEATURES }, (_, i) => `x${i}`)];
  const rows = Array.from({ length: ROWS }, () => {
    const label = rng.below(CLASSES);
    return [`class${label}`, ...Array.from({ length: FEATURES }, (_, i) => (centres[label * FEATURES + i]! + 2 * rng.normal()).toFixed(3))];
  });
  return [header, ...rows].map((cells) => cells.join(',')).join('\n');
}

/** A job of the standing fleet. Nothing of what it does depends on how fast the machine is. */
async function train({ graceMs, ...sync }: SyncRow): Promise<TrainedRun> {
  const job = {
    data: { type: 'csv', path: 'clusters.csv', target: 'label', validationFraction: 0.1 },
    model: { type: 'mlp', hidden: [HIDDEN] },
    train: { batch: 48, epochs: EPOCHS, optimizer: 'adamw', learningRate: 0.008, seed: 3 },
    sync: { ...sync, ...(graceMs !== undefined && { grace: `${graceMs}ms` }), minDeadline: '60s' },
    cluster: { minWorkers: fleet.workers.size },
  };
  const document = parseJobFile(stringify(job), 'job.yaml', (path) => join(fleet.folder, path));
  const { run } = await client.launch(JSON.stringify(document), signal);
  const events: RunEvent[] = [];
  for await (const { body } of watchRun(new RunServer(client), run, () => undefined, signal)) events.push(body);
  const notes = await Promise.all([...fleet.workers].map(async ([name, worker]) => [name, await notesOf(worker, run)] as const));
  return { events, notes: new Map(notes), view: await viewOf(events.at(-1)!, sync) };
}

async function notesOf(worker: CliProcess, run: string): Promise<readonly WorkerNote[]> {
  await worker.line(`"event":"released","run":"${run}"`);
  return worker.lines.filter((line) => line.includes(`"run":"${run}"`)).map((line) => JSON.parse(line) as WorkerNote);
}

/** Without differences, what all workers hold is what the model decodes to. */
async function viewOf(verdict: RunEvent, { downCodec: name }: Pick<SyncRow, 'downCodec'>): Promise<number | undefined> {
  if (verdict.event !== 'verdict' || verdict.model === '' || hasErrorFeedback(name)) return undefined;
  const { layout } = JSON.parse(await readFile(verdict.model.replace(/safetensors$/, 'json'), 'utf8')) as { layout: Parameters<typeof layOut>[0] };
  const parameters = await readFlat(verdict.model, layOut(layout));
  const codec = createCodec(name, kernels);
  const coded = new Uint8Array(codec.maxBytes(parameters.length));
  codec.decode(coded.subarray(0, codec.encode(parameters, coded)), parameters);
  return kernels.crc32c(new Uint8Array(parameters.buffer));
}

const subject = {
  train,
  samples: EPOCHS * TRAIN_ROWS,
  parameters: (FEATURES + 1) * HIDDEN + (HIDDEN + 1) * CLASSES,
  chunkLength: 262_144,
  firstLoss: Math.log(CLASSES),
};
// In virtual time the same loops train with each codec both ways.
strategyConformance('over processes', subject, EVERY_CODEC_ONE_WAY);
