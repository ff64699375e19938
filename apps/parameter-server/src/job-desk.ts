import type { DataFile, DataSignature, Job, ModelProfile } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { createModel, profileModel } from '@longtail/engine';
import type { ServedFile } from '@longtail/runtime';
import { resolveJob, validateJob } from '@longtail/spec';
import type { InspectData } from './inspect-data.js';
import type { ModelNotes } from './run-store.js';
import { servedFile } from './served-files.js';

/** A job whose data are here. */
export interface StudiedJob {
  readonly job: Job;
  readonly files: readonly ServedFile[];
}

/** What is known of a job beside what it says. */
interface JobNotes {
  /** What the data say about the model. */
  readonly model: ModelNotes;
  /** Of the model, where it is known without its files or its code. */
  readonly profile: ModelProfile | undefined;
  /** As its user wrote it. */
  readonly document: unknown;
}

/** Where jobs are looked at before they run: checked, resolved, their data found. */
export class JobDesk {
  private readonly notes = new WeakMap<Job, JobNotes>();
  private readonly profiles = new WeakMap<Job['model'], ModelProfile>();

  constructor(private readonly inspect: InspectData) {}

  notesOf(job: Job): Pick<JobNotes, 'model' | 'document'> {
    return this.notes.get(job) ?? { model: {}, document: undefined };
  }

  profileOf(job: Job): ModelProfile | undefined {
    return this.profiles.get(job.model);
  }

  /** A job that somebody wrote. LongtailError `invalid-file`, or what is wrong with its data. */
  async study(document: unknown): Promise<StudiedJob> {
    const draft = validateJob(document);
    const { signature, files, notes } = await this.inspect(draft);
    const job: Job = { ...resolveJob(draft, signature), files: files.map(withoutPath) };
    await this.note(job, signature, notes, document);
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

  private async note(job: Job, data: DataSignature, model: ModelNotes, document: unknown): Promise<void> {
    const profile = await profileOf(job, data);
    if (profile !== undefined) this.profiles.set(job.model, profile);
    this.notes.set(job, { model, profile, document });
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
