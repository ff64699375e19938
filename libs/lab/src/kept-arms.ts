import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchArm } from '@longtail/core';
import { writeFileAtomic } from '@longtail/store';

/** Arms that are done, in a folder, each under the hash of all that it depends on, the program too: a bench that was stopped goes on where it was. */
export class KeptArms {
  /** `fresh`: what is there counts for nothing. */
  constructor(
    private readonly folder: string,
    private readonly program: string,
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
    await writeFileAtomic(this.path(dependsOn), `${JSON.stringify(arm)}\n`, 'keep the arm');
  }

  private path(dependsOn: unknown): string {
    const hash = createHash('sha256').update(JSON.stringify([this.program, dependsOn])).digest('hex');
    return join(this.folder, `${hash.slice(0, 32)}.json`);
  }
}
