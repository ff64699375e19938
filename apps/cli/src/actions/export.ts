import { access } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { copyFileAtomic, makeFolder, RUN_FILES, withStorageErrors, writeFileAtomic } from '@longtail/store';
import type { Output } from '../terminal/output.js';
import { readTextFile } from '../terminal/read-job-file.js';
import { findRunFolder } from './run-folder.js';

interface ExportOptions {
  readonly output: string;
  readonly runs: string;
}

export async function exportModel(output: Output, options: ExportOptions, run: string): Promise<number> {
  const folder = await findRunFolder(run, options.runs);
  const target = resolve(options.output);
  const sidecar = target.replace(/\.safetensors$/, '') + '.json';
  await access(join(folder, RUN_FILES.model)).catch((cause: unknown) => {
    throw new LongtailError(`The run ${run} has no model: it has not ended, or it learnt nothing.`, {
      code: 'missing-file',
      where: join(folder, RUN_FILES.model),
      cause,
    });
  });
  const told = await readSidecar(join(folder, RUN_FILES.modelSidecar));
  await makeFolder('write the model', dirname(target));
  await withStorageErrors('write the model', target, async () => {
    await copyFileAtomic(join(folder, RUN_FILES.model), target);
    await writeFileAtomic(sidecar, `${JSON.stringify({ ...told, file: basename(target) }, undefined, 2)}\n`);
  });
  if (output.json) output.event({ event: 'exported', run, model: target, sidecar });
  else output.line(target);
  return 0;
}

/** What a run says of its model. LongtailError `invalid-file`, `missing-file`. */
async function readSidecar(file: string): Promise<object> {
  const hint = 'It describes the model beside it, which can be copied without.';
  try {
    const told: unknown = JSON.parse(await readTextFile(file, 'description', hint));
    if (typeof told === 'object' && told !== null) return told;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new LongtailError(`${file} does not describe a model: it is damaged.`, { code: 'invalid-file', where: file, hint });
}
