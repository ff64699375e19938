import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  LongtailError,
  redactor,
  type EventLog,
  type Job,
  type ParameterLayout,
  type RunEvent,
  type StoredEvent,
  type Verdict,
} from '@longtail/core';
import { writeFileAtomic } from './atomic.js';
import { BESIDE_LOGS, type CheckpointStore } from './checkpoint-store.js';
import type { CheckpointFolder } from './checkpoints.js';
import { openEventLog, readEvents } from './event-log.js';
import { metricsCsv, metricsLine } from './metrics.js';
import { renderReport } from './report/index.js';
import { RUN_FILES } from './run-files.js';
import { tensorsOf, writeSafetensors } from './safetensors/index.js';
import { asStorageError, makeFolder, withStorageErrors } from './storage-error.js';

const RUN_FORMAT = 1;
const DEFAULT_KEEP = 2;
const TAIL_BYTES = 64 * 1024;
/** Each has files open, of which a process may have few. */
const FOLDERS_AT_ONCE = 16;

/** The server that writes a run's folder. */
export interface RunOwner {
  /** That it was told to listen on. */
  readonly address: string;
  readonly pid: number;
}

export interface RunFolderOptions {
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
  /** Taken down in the folder. @default nobody */
  readonly owner?: RunOwner;
  /** It is a copy of this run of another server. @default a new run */
  readonly copyOf?: { readonly run: string; readonly createdAtMs: number };
  /** Where its checkpoints go. @default its folder */
  readonly checkpoints?: CheckpointStore;
}

/** What goes beside model.safetensors, so that the model can be used without the run. */
export interface ModelSidecar {
  readonly metrics: Verdict['metrics'];
  /** `toJSON` of the tokenizer of the data, when they are text. */
  readonly tokenizer?: unknown;
  /** What the labels stand for, when the data names them. */
  readonly classNames?: readonly string[];
}

/** The folder of a run that this process writes. */
export interface RunFolder {
  readonly id: string;
  readonly path: string;
  readonly createdAtMs: number;
  readonly job: Job;
  /** The job as its user wrote it. */
  readonly document: unknown;
  /** Its log, as it was when the folder was opened. */
  readonly past: readonly StoredEvent[];
  /** events.jsonl; metrics.csv follows it line by line. */
  readonly events: EventLog;
  readonly checkpoints: CheckpointFolder;
  /** Writes model.safetensors and model.json; returns the absolute path of the former. LongtailError `storage`. */
  writeModel(parameters: Float32Array, layout: ParameterLayout, sidecar: ModelSidecar): Promise<string>;
  /** Renders report.html from the events so far; returns its path. LongtailError `storage`. */
  writeReport(): Promise<string>;
  /** Closes the log; everything is durable. */
  close(): Promise<void>;
}

/** A run as its folder tells it. */
export interface RunSummary {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly createdAtMs: number;
  /** Undefined while it runs, or when its server was killed. */
  readonly verdict: Verdict | undefined;
  /** When it came. */
  readonly endedAtMs: number | undefined;
  /** Who wrote it last. */
  readonly owner: RunOwner | undefined;
}

/** job.json */
interface RunFile {
  readonly format: number;
  readonly run: string;
  readonly createdAtMs: number;
  readonly job: Job;
  readonly document: unknown;
}

/** Makes `<root>/<date-time>-<name>-<id>/`. Root is `./runs` unless given. LongtailError `storage`. */
export async function createRun(root: string | undefined, job: Job, options: RunFolderOptions & { readonly document?: unknown }): Promise<RunFolder> {
  const { run: id, createdAtMs } = options.copyOf ?? { run: randomBytes(4).toString('hex'), createdAtMs: options.now() };
  const path = resolve(root ?? 'runs', `${new Date(createdAtMs).toISOString().slice(0, 19).replaceAll(':', '-')}-${slug(job.name)}-${id}`);
  await makeFolder('make the folder of the run', path);
  const file: RunFile = { format: RUN_FORMAT, run: id, createdAtMs, job, document: options.document };
  await writeFileAtomic(join(path, RUN_FILES.job), `${JSON.stringify(file, undefined, 2)}\n`);
  return openFolder(path, file, options);
}

/** Opens the folder of a run to go on with it: the log is repaired, metrics.csv made anew from it. LongtailError `missing-file`, `invalid-file`, `storage`. */
export async function openRun(path: string, options: RunFolderOptions): Promise<RunFolder> {
  return openFolder(resolve(path), await readRunFile(path), options);
}

/** The run in a folder, which another process may be writing. LongtailError `missing-file`, `invalid-file`. */
export async function readRun(path: string): Promise<RunSummary & Pick<RunFile, 'job' | 'document'>> {
  const { run, job, document, createdAtMs } = await readRunFile(path);
  const [end, owner] = await Promise.all([readVerdict(join(path, RUN_FILES.events)), readOwner(join(path, RUN_FILES.owner))]);
  return { id: run, path: resolve(path), name: job.name, createdAtMs, verdict: end?.verdict, endedAtMs: end?.timeMs, owner, job, document };
}

/** Runs under a root, newest first; folders that are no runs are passed over. LongtailError `storage`. */
export async function listRuns(root: string | undefined): Promise<readonly RunSummary[]> {
  const folder = resolve(root ?? 'runs');
  if (!existsSync(folder)) return [];
  const names = await withStorageErrors('list the runs', folder, () => readdir(folder));
  const runs: (RunSummary | undefined)[] = [];
  for (let i = 0; i < names.length; i += FOLDERS_AT_ONCE) {
    runs.push(...(await Promise.all(names.slice(i, i + FOLDERS_AT_ONCE).map((name) => readIfRun(join(folder, name))))));
  }
  return runs.filter((run) => run !== undefined).sort((a, b) => b.createdAtMs - a.createdAtMs);
}

async function readIfRun(path: string): Promise<RunSummary | undefined> {
  return readRun(path).catch((error: unknown) => {
    if (error instanceof LongtailError && (error.code === 'missing-file' || error.code === 'invalid-file' || error.code === 'storage')) return undefined;
    throw error;
  });
}

async function openFolder(path: string, { run, createdAtMs, job, document }: RunFile, { now, owner, checkpoints = BESIDE_LOGS }: RunFolderOptions): Promise<RunFolder> {
  if (owner !== undefined) await writeFileAtomic(join(path, RUN_FILES.owner), `${JSON.stringify(owner)}\n`);
  const eventsPath = join(path, RUN_FILES.events);
  const log = openEventLog(eventsPath, { now });
  const past = await readEvents(eventsPath);
  await writeFileAtomic(join(path, RUN_FILES.metrics), metricsCsv(past), 'write the metrics');
  return {
    id: run,
    path,
    createdAtMs,
    job,
    document,
    past,
    events: withMetrics(log, join(path, RUN_FILES.metrics), past),
    checkpoints: checkpoints.of(run, join(path, RUN_FILES.checkpoints), { keep: job.checkpoint.keep ?? DEFAULT_KEEP }),
    async writeModel(parameters, layout, sidecar) {
      const model = join(path, RUN_FILES.model);
      const { bytes, sha256 } = await writeSafetensors(model, tensorsOf(parameters, layout), { format: 'longtail', run });
      const tensors = layout.slots.map(({ name, shape, trainable }) => ({ name, shape, trainable }));
      const json = { format: RUN_FORMAT, run, file: RUN_FILES.model, bytes, sha256, ...sidecar, job, layout: tensors };
      await writeFileAtomic(join(path, RUN_FILES.modelSidecar), `${redactor(process.env).json(json, 2)}\n`, 'write the model');
      return model;
    },
    async writeReport() {
      const report = join(path, RUN_FILES.report);
      await writeFileAtomic(report, renderReport(await readEvents(eventsPath)), 'write the report');
      return report;
    },
    close: () => log.close(),
  };
}

/** A log that appends to metrics.csv as well. What a run that is resumed undoes leaves it; `past` is what the log begins with. */
function withMetrics(log: EventLog, path: string, past: readonly StoredEvent[]): EventLog {
  let origin = past[0]?.timeMs;
  return {
    append(event: RunEvent): StoredEvent {
      const stored = log.append(event);
      origin ??= stored.timeMs;
      const line = metricsLine(stored, origin);
      try {
        if (event.event === 'resumed') writeFileSync(path, metricsCsv([...past, stored]));
        else if (line !== undefined) appendFileSync(path, line);
      } catch (cause) {
        throw asStorageError(cause, 'write the metrics', path);
      }
      return stored;
    },
    read: (fromSeq, signal) => log.read(fromSeq, signal),
    flush: () => log.flush(),
    close: () => log.close(),
  };
}

async function readRunFile(path: string): Promise<RunFile> {
  const file = join(path, RUN_FILES.job);
  const text = await withStorageErrors('open the run', file, () => readFile(file, 'utf8'));
  try {
    const content = JSON.parse(text) as RunFile;
    if (content.format === RUN_FORMAT) return content;
  } catch {
    // Falls through: no JSON is no run either.
  }
  throw new LongtailError('This is not the job of a run that this version can open.', {
    code: 'invalid-file',
    where: file,
    hint: 'Name a folder that `longtail jobs` lists.',
  });
}

async function readOwner(path: string): Promise<RunOwner | undefined> {
  return readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as RunOwner,
    () => undefined,
  );
}

/** The last event, if it is a verdict, without reading the whole log. */
async function readVerdict(path: string): Promise<{ readonly verdict: Verdict; readonly timeMs: number } | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(new Uint8Array(length), 0, length, size - length);
    const line = new TextDecoder().decode(buffer.subarray(0, bytesRead)).trimEnd().split('\n').at(-1) ?? '';
    const { body: verdict, timeMs } = JSON.parse(line) as StoredEvent;
    return verdict.event === 'verdict' ? { verdict, timeMs } : undefined;
  } catch {
    return undefined; // a line being written
  } finally {
    await file.close();
  }
}

function slug(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 40) || 'run'
  );
}
