import type { DataFile, DataSignature, Job, ModelProfile } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { createModel, profileModel } from '@longtail/engine';
import { requireWholeGroups } from '@longtail/layout';
import type { ServedFile } from '@longtail/runtime';
import { resolveJob, validateJob } from '@longtail/spec';
import type { InspectData } from './inspect-data.js';
import type { JobNotes } from './run-store.js';
import { servedFile } from './served-files.js';

/** A job whose data are here. */
export interface StudiedJob {
  readonly job: Job;
  readonly files: readonly ServedFile[];
}

interface Studied extends JobNotes {
  /** As its user wrote it. */
  readonly document: unknown;
}

/** Where jobs are looked at before they run: checked, resolved, their data found. */
export class JobDesk {
  private readonly notes = new WeakMap<Job, Studied>();
  private readonly profiles = new WeakMap<Job['model'], ModelProfile>();

  constructor(private readonly inspect: InspectData) {}

  notesOf(job: Job): Studied {
    return this.notes.get(job) ?? { model: {}, document: undefined };
  }

  profileOf(job: Job): ModelProfile | undefined {
    return this.profiles.get(job.model);
  }

  /** A job that somebody wrote. LongtailError `invalid-file`, `no-plan` for a layout that is not the model's, or what is wrong with its data. */
  async study(document: unknown): Promise<StudiedJob> {
    const draft = validateJob(document);
    const { signature, files, notes } = await this.inspect(draft);
    const job: Job = { ...resolveJob(draft, signature), files: files.map(withoutPath) };
    await this.note(job, signature, notes, document);
    const profile = this.profileOf(job);
    if (profile !== undefined) requireWholeGroups(job, profile);
    return { job, files: files.map(servedFile) };
  }

  /** A job that ran before. LongtailError `invalid-data` when its data are not what they were, and as `study`. */
  async studyAgain(job: Job, document: unknown): Promise<StudiedJob> {
    const { signature, files, notes } = await this.inspect(job);
    const changed = files.find(({ name, sha256 }) => job.files?.find((file) => file.name === name)?.sha256 !== sha256);
    if (changed !== undefined) {
      throw new LongtailError(`The file ${changed.name} is not what it was when the run was launched.`, {
        code: 'invalid-data',
        where: changed.path,
        hint: 'Put back what it was, or launch the job again.',
      });
    }
    await this.note(job, signature, notes, document);
    return { job, files: files.map(servedFile) };
  }

  /** A job that another server has studied. */
  adopt(job: Job, notes: JobNotes, document: unknown): void {
    if (notes.profile !== undefined) this.profiles.set(job.model, notes.profile);
    this.notes.set(job, { ...notes, document });
  }

  private async note(job: Job, data: DataSignature, model: JobNotes['model'], document: unknown): Promise<void> {
    this.adopt(job, { model, profile: await profileOf(job, data) }, document);
  }
}

/** By shapes alone. Models from files or of users' own code are laid out as the job says. */
async function profileOf({ name, model, loss }: Job, data: DataSignature): Promise<ModelProfile | undefined> {
  if (model.type === 'keras' || model.type === 'module') return undefined;
  return profileModel(`${model.type} of ${name}`, await createModel(model, { ...data, loss }));
}

/** Paths on this machine mean nothing on another. */
function withoutPath({ name, bytes, sha256 }: DataFile): DataFile {
  return { name, bytes, sha256 };
}
