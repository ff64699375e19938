import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Verdict } from '@longtail/core';
import { openSafetensors, readEvents } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { CliProcess } from './cli-process.js';
import { runCli } from './cli-process.js';
import { FEATURES, jobFolder, smallJob } from './jobs.js';

let folder: string;
let cli: CliProcess | undefined;
beforeEach(async () => {
  folder = await jobFolder(smallJob());
});
afterEach(async () => {
  cli?.killAll();
  await rm(folder, { recursive: true });
});

it('trains on unequal workers, and leaves a model, a report and no process', { timeout: 90_000 }, async () => {
  const { exitCode, process } = await runCli(['demo', '--job', 'job.yaml', '--workers', '3', '--paces', '1,0.5', '--json'], {
    cwd: folder,
  });
  cli = process;
  expect(process.stderr).toBe('');
  expect(exitCode).toBe(0);
  expect(process.processes()).toEqual([]);

  const { verdict } = process;
  expect(verdict).toEqual({
    event: 'verdict',
    status: 'succeeded',
    run: expect.any(String),
    job: 'job',
    engine: expect.stringMatching(/^(tensorflow|webgpu|wasm|cpu)$/),
    metrics: { validation_loss: expect.any(Number), validation_accuracy: expect.any(Number), train_loss: expect.any(Number) },
    samples: { applied: 768, lost: 0 },
    seconds: expect.any(Number),
    bytes: { up: expect.any(Number), down: expect.any(Number), direct: expect.any(Number) },
    model: expect.stringMatching(/model\.safetensors$/),
    reason: expect.any(String),
  } satisfies Verdict);
  expect(verdict.bytes.up).toBeGreaterThan(0);

  const ready = process.events.filter((event) => event.event === 'worker_ready').map((event) => event.name);
  expect(ready.sort()).toEqual(['worker-1', 'worker-2', 'worker-3']);
  await expectCompleteFolder(dirname(verdict.model), process);
});

it('a model that fits no workers ends it as soon as they are all there, as no others come', { timeout: 90_000 }, async () => {
  const { exitCode, process } = await runCli(['demo', '--job', 'job.yaml', '--workers', '2', '--memory', '64KiB', '--engine', 'wasm', '--json'], { cwd: folder });
  cli = process;
  expect(process.stderr).toMatch(/no plan: .* on one device, and the roomiest, worker-\d .* offers 64\.0 KiB\nhint: +add/);
  expect(exitCode).toBe(10);
  expect(process.verdict).toMatchObject({ status: 'failed', error: { code: 'no-plan' } });
  expect(process.verdict.seconds).toBeLessThan(60); // which others would have to join
});

async function expectCompleteFolder(run: string, process: CliProcess): Promise<void> {
  expect(await readdir(run)).toEqual(
    expect.arrayContaining(['checkpoint', 'events.jsonl', 'job.json', 'metrics.csv', 'model.json', 'model.safetensors', 'report.html']),
  );
  expect((await readEvents(join(run, 'events.jsonl'))).map(({ body }) => body.event)).toEqual(process.events.map(({ event }) => event));
  const model = await openSafetensors(process.verdict.model);
  await model.close();
  const values = [...model.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  expect(values).toBe((FEATURES + 1) * 400 + 401 * 2);
  expect(await readFile(join(run, 'report.html'), 'utf8')).toMatch(/^<!doctype html>/i);
}
