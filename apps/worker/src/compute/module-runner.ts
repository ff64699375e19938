import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import type { DataSignature, Job, ModelSpec } from '@longtail/core';
import { confinedModel } from '../confined/confined-model.js';
import type { ModulePolicy } from './channel.js';
import { CallAborted, type Interrupts } from './interrupts.js';

const LOOK_EVERY_MS = 50;

/** A job's own module on this node: as its owner allowed, whatever the server asks. */
export class ModuleRunner {
  /** What ran last, and where its trace is. */
  private last: { readonly subject: string; readonly path: string } | undefined;

  constructor(
    private readonly policy: ModulePolicy,
    private readonly folder: string,
    private readonly interrupts: Interrupts,
  ) {}

  get confined(): boolean {
    return this.policy !== 'refused' && this.policy !== 'trusted';
  }

  /** Throws LongtailError `refused` for a model that is code where the owner allows none. */
  admit({ type }: ModelSpec): void {
    if (type !== 'module' || this.policy !== 'refused') return;
    throw new LongtailError('this node does not let jobs run their own code', { code: 'refused', hint: 'Its owner may start it with --allow-code.' });
  }

  /**
   * The job, with blocks as data where its module must not run in this process: then it ran elsewhere, confined.
   * Throws `CallAborted`, and LongtailError as `confinedModel`.
   */
  async readied(job: Job, data: DataSignature): Promise<Job> {
    const { model, loss } = job;
    if (model.type !== 'module') return job;
    // A trace that somebody else names is nobody's.
    const { traced: _, ...untraced } = model;
    if (this.policy === 'refused' || this.policy === 'trusted') return { ...job, model: untraced };
    const request = { options: model.options, purpose: { ...data, loss } };
    const subject = JSON.stringify([model.path, job.files, request]);
    if (this.last?.subject !== subject) {
      const blocks = await this.unlessAborted((signal) => confinedModel({ mechanism: this.policy as Exclude<ModulePolicy, 'refused' | 'trusted'> }, model.path, request, signal));
      const path = join(this.folder, `${createHash('sha256').update(subject).digest('hex')}.json`);
      await mkdir(this.folder, { recursive: true });
      await writeFile(`${path}.${process.pid}`, JSON.stringify(blocks));
      await rename(`${path}.${process.pid}`, path);
      this.last = { subject, path };
    }
    return { ...job, model: { ...untraced, traced: this.last.path } };
  }

  private async unlessAborted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    const look = setInterval(() => this.interrupts.aborted && abort.abort(new CallAborted()), LOOK_EVERY_MS);
    try {
      return await work(abort.signal);
    } finally {
      clearInterval(look);
    }
  }
}
