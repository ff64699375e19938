import { access, copyFile, mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { RUN_FILES } from '@longtail/store';
import type { Output } from '../terminal/output.js';
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
  try {
    await mkdir(dirname(target), { recursive: true });
    await copyFile(join(folder, RUN_FILES.model), target);
    await copyFile(join(folder, RUN_FILES.modelSidecar), sidecar);
  } catch (cause) {
    throw new LongtailError(`The model cannot be written: ${(cause as Error).message}`, { code: 'storage', where: target, cause });
  }
  if (output.json) output.event({ event: 'exported', run, model: target, sidecar });
  else output.line(target);
  return 0;
}
