import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LongtailError, type BenchResult } from '@longtail/core';
import { writeReport } from '@longtail/report';
import { writeFileAtomic } from '@longtail/store';
import type { Output } from '../terminal/output.js';
import { readTextFile } from '../terminal/read-job-file.js';

/** Writes page, charts and series into the folder of a bench, in the place of those that are there; resolves with the path of the page. */
export async function saveBenchReport(result: BenchResult, folder: string): Promise<string> {
  const page = join(folder, 'report.html');
  for (const path of await filesOf(page)) await rm(join(folder, path), { force: true });
  for (const [path, text] of writeReport(result)) await writeFileAtomic(join(folder, path), text, 'write the report');
  return page;
}

/** Beside a page, as it lists them itself: nothing else in these folders is ours. */
async function filesOf(page: string): Promise<readonly string[]> {
  const text = await readFile(page, 'utf8').catch(() => '');
  return [...text.matchAll(/href="((?:charts|series)\/[\w-]+\.(?:svg|csv))"/g)].map((match) => match[1]!);
}

export async function benchReport(output: Output, _options: object, folder: string): Promise<number> {
  const file = join(folder, 'result.json');
  const report = await saveBenchReport(parseResult(await readTextFile(file, 'result', 'It is written when a bench is over: give the folder that `longtail bench` named.'), file), folder);
  output.event({ event: 'report', report });
  if (!output.json) output.line(`report  ${report}`);
  return 0;
}

function parseResult(text: string, file: string): BenchResult {
  let result: Partial<BenchResult> | null = null;
  try {
    result = JSON.parse(text) as Partial<BenchResult> | null;
  } catch {
    // Told below: no JSON is no result either.
  }
  if (result?.version === 2 && Array.isArray(result.arms) && Array.isArray(result.nodes)) return result as BenchResult;
  throw new LongtailError(`${file} is not the result of a bench that this version can read.`, {
    code: 'invalid-file',
    where: file,
    hint: 'Run `longtail bench` again: arms that are done are kept.',
  });
}
