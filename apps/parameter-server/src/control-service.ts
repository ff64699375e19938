import type { DataFile, DataSignature, Job, ModelProfile } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { createModel, profileModel } from '@longtail/engine';
import type { StoredEvent } from '@longtail/protocol';
import type { Server } from '@longtail/runtime';
import { resolveJob, validateJob } from '@longtail/spec';
import type { ControlService } from '@longtail/transport';
import type { Logger } from 'pino';
import type { InspectData } from './inspect-data.js';
import type { ModelNotes } from './run-store.js';
import { servedFile } from './served-files.js';

export interface ControlServiceOptions {
  readonly server: Server;
  readonly inspect: InspectData;
  /** Receives what the data say about the model of each job launched. */
  readonly notes: WeakMap<Job, ModelNotes>;
  /** Receives what each job's model takes, where that is known without its files or its code. */
  readonly profiles: WeakMap<Job['model'], ModelProfile>;
  readonly log: Logger;
}

/** What clients ask of the server, on top of the runtime: jobs are checked and resolved here, at the edge. */
export function createControlService({ server, inspect, notes, profiles, log }: ControlServiceOptions): ControlService {
  return {
    async launch({ jobJson }) {
      const draft = validateJob(parseJson(jobJson));
      const inspection = await inspect(draft);
      const { signature, files } = inspection;
      const job: Job = { ...resolveJob(draft, signature), files: files.map(withoutPath) };
      notes.set(job, inspection.notes);
      const profile = await profileOf(job, signature);
      if (profile !== undefined) profiles.set(job.model, profile);
      const launched = await server.launch(job, files.map(servedFile));
      log.info({ run: launched.run, job: job.name }, 'launched');
      void server.verdict(launched.run).then(({ run, status, reason }) => log.info({ run, status, reason }, 'ended'));
      return launched;
    },
    async *watch({ run, fromSeq }, signal): AsyncIterable<StoredEvent> {
      for await (const { seq, timeMs, body } of server.watch(run, fromSeq, signal)) {
        yield { seq, timeMs, bodyJson: JSON.stringify(body) };
      }
    },
    async cancel({ run, reason }) {
      return { status: await server.cancel(run, reason || 'cancelled by a client') };
    },
    async listJobs() {
      return { jobs: server.jobs() };
    },
    async listNodes() {
      return { nodes: server.nodes(), peers: server.peers() };
    },
    async getServer() {
      return server.info();
    },
  };
}

/** By shapes alone. Models from files or of users' own code are laid out as the job says. */
async function profileOf({ name, model, loss }: Job, data: DataSignature): Promise<ModelProfile | undefined> {
  if (model.type === 'keras' || model.type === 'module') return undefined;
  return profileModel(`${model.type} of ${name}`, await createModel(model, { ...data, loss }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LongtailError('The job is not JSON.', { code: 'invalid-file', cause: error });
  }
}

/** Paths on this machine mean nothing on another. */
function withoutPath({ name, bytes, sha256 }: DataFile): DataFile {
  return { name, bytes, sha256 };
}
