import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { listRuns, RUN_FILES } from '@longtail/store';

/** The folder of a run: `run` is its id, the name of its folder, or a path. LongtailError `missing-file`. */
export async function findRunFolder(run: string, runsFolder: string): Promise<string> {
  const path = [join(resolve(runsFolder), run), resolve(run)].find((folder) => existsSync(join(folder, RUN_FILES.job)));
  if (path !== undefined) return path;
  const runs = await listRuns(runsFolder);
  const known = runs.find(({ id }) => id === run);
  if (known !== undefined) return known.path;
  const latest = runs[0] === undefined ? '' : ` The latest there is ${runs[0].id} (${runs[0].name}).`;
  throw new LongtailError(`There is no run ${run} in ${resolve(runsFolder)}.${latest}`, {
    code: 'missing-file',
    where: resolve(runsFolder),
    hint: '`longtail jobs` lists the runs of a server; --runs names the folder they are in.',
  });
}
