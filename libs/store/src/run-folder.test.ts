import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { layOut, type Job } from '@longtail/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readEvents } from './event-log.js';
import { exampleEvents, exampleJob } from './testing/example-run.js';
import { createRun, listRuns, openRun, readRun } from './run-folder.js';
import { readFlat } from './safetensors/index.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'longtail-runs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const now = (): number => Date.UTC(2026, 10, 22, 10, 3, 4, 567);
const events = exampleEvents({ epochs: 0.05 });
const read = (path: string, file: string): string => readFileSync(join(path, file), 'utf8');

test('a run leaves its job, events, metrics, model and report', async () => {
  const run = await createRun(root, exampleJob, { now });
  expect(basename(run.path)).toBe(`2026-11-22T10-03-04-mnist-demo-${run.id}`);
  for (const { body } of events) run.events.append(body);

  const layout = layOut([{ name: 'w', shape: [2] }]);
  const model = await run.writeModel(Float32Array.of(1, 2), layout, {
    metrics: { validation_loss: 0.1, validation_accuracy: 0.9, train_loss: 0.2 },
    classNames: ['no', 'yes'],
  });
  await run.writeReport();
  await run.close();

  expect(await readFlat(model, layout)).toEqual(Float32Array.of(1, 2));
  expect(JSON.parse(read(run.path, 'model.json'))).toMatchObject({
    run: run.id,
    file: 'model.safetensors',
    job: { name: 'MNIST demo' },
    metrics: { validation_accuracy: 0.9 },
    classNames: ['no', 'yes'],
    layout: [{ name: 'w', shape: [2], trainable: true }],
  });
  expect((await readEvents(join(run.path, 'events.jsonl'))).map(({ body }) => body)).toEqual(
    events.map(({ body }) => JSON.parse(JSON.stringify(body))),
  );
  expect(read(run.path, 'report.html')).toContain('MNIST demo');
  const metrics = read(run.path, 'metrics.csv').trimEnd().split('\n');
  expect(metrics[0]).toBe('time_s,split,round,version,epoch,samples_applied,loss,accuracy,learning_rate,gradient_norm,samples_per_second');
  expect(metrics).toHaveLength(1 + events.filter(({ body }) => body.event === 'commit' || body.event === 'validation').length);
  expect(metrics.every((line) => line.split(',').length === 11)).toBe(true);
});

test('an opened run goes on where the last process was killed, its metrics made anew', async () => {
  const run = await createRun(root, exampleJob, { now });
  const half = Math.floor(events.length / 2);
  for (const { body } of events.slice(0, half)) run.events.append(body);
  const metrics = read(run.path, 'metrics.csv');
  await run.close();
  writeFileSync(join(run.path, 'metrics.csv'), `${metrics}0.0,tr`);

  expect((await readRun(run.path)).verdict).toBeUndefined();
  const again = await openRun(run.path, { now });
  expect(again.id).toBe(run.id);
  expect(again.job).toEqual(JSON.parse(JSON.stringify(exampleJob)) as Job);
  expect(read(run.path, 'metrics.csv')).toBe(metrics);
  for (const { body } of events.slice(half)) again.events.append(body);
  await again.close();
  expect((await readRun(run.path)).verdict).toMatchObject({ status: 'succeeded' });
});

test('runs are listed newest first; what is no run is passed over', async () => {
  mkdirSync(join(root, 'notes'));
  mkdirSync(join(root, 'broken'));
  writeFileSync(join(root, 'broken', 'job.json'), '{');
  writeFileSync(join(root, 'file'), '');
  const first = await createRun(root, exampleJob, { now });
  const second = await createRun(root, { ...exampleJob, name: '***' }, { now: () => now() + 1000 });
  expect(basename(second.path)).toBe(`2026-11-22T10-03-05-run-${second.id}`);
  second.events.append(events.at(-1)!.body);
  await Promise.all([first.close(), second.close()]);
  expect((await listRuns(root)).map(({ id, name, verdict }) => [id, name, verdict?.status])).toEqual([
    [second.id, '***', 'succeeded'],
    [first.id, 'MNIST demo', undefined],
  ]);
  expect(await listRuns(join(root, 'none'))).toEqual([]);
});

test('what is no run is refused with what to do', async () => {
  await expect(openRun(join(root, 'none'), { now })).rejects.toMatchObject({ code: 'missing-file' });
  writeFileSync(join(root, 'job.json'), '{"format":99}');
  await expect(readRun(root)).rejects.toMatchObject({ code: 'invalid-file', hint: expect.stringContaining('longtail jobs') });
  writeFileSync(join(root, 'file'), '');
  await expect(createRun(join(root, 'file'), exampleJob, { now })).rejects.toMatchObject({ code: 'storage' });
});

test('what a resumed run undoes leaves its metrics and its report, not its log', async () => {
  const run = await createRun(root, exampleJob, { now });
  const commits = events.filter(({ body }) => body.event === 'commit').slice(0, 3);
  for (const { body } of [events[0]!, ...commits]) run.events.append(body);
  await run.close();

  const again = await openRun(run.path, { now, owner: { address: '127.0.0.1:7077', pid: 7 } });
  const resumed = { event: 'resumed', run: run.id, version: 1, samplesApplied: 128, stands: 2, undone: { commits: 2, samples: 256 }, reason: 'killed' } as const;
  again.events.append(resumed);
  again.events.append(commits[1]!.body);
  const report = read(run.path, (await again.writeReport()).split('/').at(-1)!);
  await again.close();

  expect(again.past).toHaveLength(4);
  expect(read(run.path, 'metrics.csv').trimEnd().split('\n').map((line) => line.split(',')[3])).toEqual(['version', '1', '2']);
  expect(report).toContain('Resumed at version 1: killed');
  expect(await readEvents(join(run.path, 'events.jsonl'))).toHaveLength(6);
  expect((await readRun(run.path)).owner).toEqual({ address: '127.0.0.1:7077', pid: 7 });
});

test('all runs are listed, however few files a process may have open', async () => {
  const run = await createRun(root, exampleJob, { now });
  await run.close();
  for (let i = 0; i < 199; i++) cpSync(run.path, join(root, `copy-${i}`), { recursive: true });
  const store = new URL('../dist/index.js', import.meta.url).href;
  const script = `import('${store}').then(({ listRuns }) => listRuns(process.argv[1])).then((runs) => console.log(runs.length))`;
  expect(execFileSync('sh', ['-c', 'ulimit -n 100; exec "$0" -e "$1" "$2"', process.execPath, script, root], { encoding: 'utf8' })).toBe('200\n');
});
