import type { Job } from '@longtail/core';
import type { ServedFile, Server } from '@longtail/runtime';
import type { Database } from '@longtail/store';
import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import { createControlService } from './control-service.js';
import type { Inspection } from './inspect-data.js';
import { JobDesk } from './job-desk.js';
import type { PastRuns } from './past-runs.js';
import type { RunRegister } from './run-register.js';

const INSPECTION: Inspection = {
  signature: { inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10 },
  files: [{ name: 'data/train-images', path: '/secret/place', bytes: 3, sha256: 'abc' }],
  notes: { classNames: ['zero', 'one'] },
};

function createService() {
  const launch = vi.fn(async (_job: Job, _files: readonly ServedFile[]) => ({ run: 'r1', folder: '/runs/r1' }));
  const desk = new JobDesk(async () => INSPECTION);
  const verdict = async (run: string) => ({ run, status: 'succeeded', reason: 'every sample was applied' });
  const server = { launch, verdict } as unknown as Server;
  const logged: unknown[] = [];
  const log = pino({ level: 'info', base: null, timestamp: false }, { write: (line) => logged.push(JSON.parse(line)) });
  return {
    launch,
    logged,
    desk,
    service: createControlService({ server, desk, past: {} as PastRuns, register: {} as RunRegister, nodes: {} as Database['nodes'], log }),
  };
}

it('checks a job and resolves it with its data before anything runs', async () => {
  const { launch, desk, service } = createService();
  const document = { name: 'digits', data: 'mnist', model: 'cnn' };
  const jobJson = JSON.stringify(document);
  expect(await service.launch({ protocol: 1, jobJson })).toEqual({ run: 'r1', folder: '/runs/r1' });
  const [job, files] = launch.mock.calls[0]!;
  expect(job).toMatchObject({ name: 'digits', model: { type: 'cnn', input: [28, 28, 1], outputs: 10 }, loss: 'cross-entropy' });
  expect(job.files).toEqual([{ name: 'data/train-images', bytes: 3, sha256: 'abc' }]);
  expect(files.map(({ name }) => name)).toEqual(['data/train-images']);
  expect(desk.notesOf(job)).toMatchObject({ model: { classNames: ['zero', 'one'] }, document });
  expect(desk.profileOf(job)!.blocks.map(({ name }) => name)).toEqual(['convolution0', 'convolution1', 'hidden0', 'output']);
});

it.each([
  ['not JSON', '{', /not JSON/],
  ['no job', '{"data":"mnist","model":"cnm"}', /model\.type: unknown model "cnm"/],
  ['a job that does not fit its data', '{"data":"mnist","model":{"type":"cnn","outputs":3}}', /is 3, but the data have 10 classes/],
])('refuses %s', async (_name, jobJson, message) => {
  const { launch, service } = createService();
  await expect(service.launch({ protocol: 1, jobJson })).rejects.toMatchObject({
    code: 'invalid-file',
    message: expect.stringMatching(message),
  });
  expect(launch).not.toHaveBeenCalled();
});

it.each([
  ['[[{"worker":"ada","blocks":9},{"worker":"ben","blocks":2}]]', 'the stages of ada + ben have 11 blocks, cnn of digits has 4'],
  ['[[{"worker":"ada","blocks":1},{"worker":2,"blocks":2}]]', 'the stages of ada + 2 have 3 blocks, cnn of digits has 4'],
  ['[[{"worker":"ada"}],[{"worker":"ben","blocks":3}]]', 'the stages of ben have 3 blocks, cnn of digits has 4'],
])("refuses a layout that is not the model's before anybody is measured: %s", async (layout, message) => {
  const { launch, service } = createService();
  const launched = service.launch({ protocol: 1, jobJson: `{"name":"digits","data":"mnist","model":"cnn","cluster":{"layout":${layout}}}` });
  await expect(launched).rejects.toMatchObject({ code: 'no-plan', where: 'cluster.layout', message: expect.stringContaining(message), hint: expect.stringContaining('convolution0, convolution1, hidden0, output') });
  expect(launch).not.toHaveBeenCalled();
});

it('says how a run ended that another server had, and does not cancel what another one has', async () => {
  const entries: Record<string, object> = { over: { status: 'succeeded', endedAtMs: 5 }, elsewhere: { status: 'running', server: '10.0.0.5:7077' } };
  const cancel = vi.fn(async () => 'cancelling');
  const server = { jobs: () => [{ run: 'here' }], cancel } as unknown as Server;
  const register = { find: async (run: string) => entries[run] } as unknown as RunRegister;
  const service = createControlService({ server, desk: {} as JobDesk, past: {} as PastRuns, register, nodes: {} as Database['nodes'], log: pino({ enabled: false }) });
  expect(await service.cancel({ run: 'here', reason: '' })).toEqual({ status: 'cancelling' });
  expect(await service.cancel({ run: 'over', reason: '' })).toEqual({ status: 'succeeded' });
  await expect(service.cancel({ run: 'elsewhere', reason: '' })).rejects.toMatchObject({ code: 'usage', message: 'run elsewhere is running, not at this server', where: '10.0.0.5:7077' });
  expect(cancel).toHaveBeenCalledTimes(1);
});

it.each(['null', '[3]', '"train"', '{'])('refuses to fork a run with %s in place of fields', async (overridesJson) => {
  const { service } = createService();
  await expect(service.fork({ run: 'r1', version: 0, overridesJson })).rejects.toMatchObject({ code: 'invalid-file' });
});

it('logs when a run began and how it ended', async () => {
  const { service, logged } = createService();
  await service.launch({ protocol: 1, jobJson: '{"name":"digits","data":"mnist","model":"cnn"}' });
  await vi.waitFor(() => expect(logged).toHaveLength(2));
  expect(logged).toMatchObject([
    { msg: 'launched', run: 'r1', job: 'digits' },
    { msg: 'ended', run: 'r1', status: 'succeeded', reason: 'every sample was applied' },
  ]);
});
