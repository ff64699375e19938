import { Worker } from 'node:worker_threads';
import type { DataSignature, LocalFile, WireError } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import type { JobDraft } from '@longtail/spec';
import type { ModelNotes } from './run-store.js';

export interface Inspection {
  readonly signature: DataSignature;
  /** Of the data and of the model. */
  readonly files: readonly LocalFile[];
  readonly notes: ModelNotes;
}

export type InspectionReply =
  { readonly kind: 'done'; readonly inspection: Inspection } | { readonly kind: 'failed'; readonly error: WireError };

/** Finds a job's files, checks that they are a data set, and says what its samples look like. */
export type InspectData = (job: InspectedJob) => Promise<Inspection>;

export type InspectedJob = Pick<JobDraft, 'data' | 'model'>;

/** On a thread of its own: reading and tokenising takes seconds that the server's event loop does not have, and memory that it should not keep. */
export function inspectOnThread({ data, model }: InspectedJob): Promise<Inspection> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./inspect-thread.js', import.meta.url), { workerData: { data, model } satisfies InspectedJob });
    thread.once('message', (reply: InspectionReply) => {
      if (reply.kind === 'done') resolve(reply.inspection);
      else reject(LongtailError.fromWire(reply.error));
    });
    thread.once('error', reject);
    thread.once('exit', () => reject(new LongtailError('Reading the data set ended without a result.', { code: 'invalid-data' })));
  });
}
