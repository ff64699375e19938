import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The hash of our own C++ sources in an engine's key, which are most of all those of the fused ops. */
const OPS = /_ops-[0-9a-f]{10}_/;

/**
 * Removes the engines that differ from the one in `path` by our own C++ sources only: 850 MB each, of Longtail's
 * older versions. A process that uses one keeps its open files. One that is being installed again stays.
 */
export async function removeOutdated(path: string): Promise<void> {
  const [folder, kept] = [dirname(path), basename(path)];
  const unversioned = (name: string): string => name.replace(OPS, '_');
  const names = (await readdir(folder)).filter((name) => OPS.test(name) && name !== kept && unversioned(name) === unversioned(kept));
  const outdated = names.map((name) => join(folder, name)).filter((each) => !existsSync(`${each}.lock`));
  await Promise.all(outdated.map((each) => rm(each, { recursive: true, force: true })));
}
