import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUN_FILES } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createOutput } from '../terminal/output.js';
import { exportModel } from './export.js';

let runs: string;
beforeEach(async () => {
  runs = await mkdtemp(join(tmpdir(), 'longtail-export-'));
  await mkdir(join(runs, 'digits'));
  await writeFile(join(runs, 'digits', RUN_FILES.job), 'data: mnist\n');
  await writeFile(join(runs, 'digits', RUN_FILES.model), 'weights');
});
afterEach(() => rm(runs, { recursive: true }));

const sidecar = () => join(runs, 'digits', RUN_FILES.modelSidecar);
const exported = (name: string) => exportModel(createOutput({ json: true, quiet: true, debug: false }), { runs, output: join(runs, 'out', name) }, 'digits');

it('says of the model what the run says, under the name that it has now', async () => {
  await writeFile(sidecar(), '{"run":"digits","file":"model.safetensors"}');
  await exported('mine.safetensors');
  expect(await readFile(join(runs, 'out', 'mine.safetensors'), 'utf8')).toBe('weights');
  expect(JSON.parse(await readFile(join(runs, 'out', 'mine.json'), 'utf8'))).toEqual({ run: 'digits', file: 'mine.safetensors' });
});

it.each(['{"run":', 'null', ''])('names a description that is damaged, and writes nothing: %j', async (text) => {
  await writeFile(sidecar(), text);
  await expect(exported('mine.safetensors')).rejects.toMatchObject({ code: 'invalid-file', where: sidecar() });
  expect(await readdir(runs)).toEqual(['digits']);
});

it('names a description that is not there', async () => {
  await expect(exported('mine.safetensors')).rejects.toMatchObject({ code: 'missing-file', where: sidecar() });
});
