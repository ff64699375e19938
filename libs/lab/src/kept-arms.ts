import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchArm } from '@longtail/core';

/** Of what an arm's figures are: another one makes all that was kept worthless. */
const VERSION = 2;

/** Arms that are done, in a folder, each under the hash of all that it depends on: a bench that was stopped goes on where it was. */
export class KeptArms {
  /** `fresh`: what is there counts for nothing. */
  constructor(
    private readonly folder: string,
    private readonly fresh = false,
  ) {}

  async find(dependsOn: unknown): Promise<BenchArm | undefined> {
    if (this.fresh) return undefined;
    try {
      return JSON.parse(await readFile(this.path(dependsOn), 'utf8')) as BenchArm;
    } catch {
      return undefined;
    }
  }

  async keep(dependsOn: unknown, arm: BenchArm): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const path = this.path(dependsOn);
    const fresh = `${path}.${randomUUID()}`;
    await writeFile(fresh, `${JSON.stringify(arm)}\n`);
    await rename(fresh, path);
  }

  private path(dependsOn: unknown): string {
    const hash = createHash('sha256').update(JSON.stringify([VERSION, dependsOn])).digest('hex');
    return join(this.folder, `${hash.slice(0, 32)}.json`);
  }
}
