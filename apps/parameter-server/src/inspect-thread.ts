import { parentPort, workerData } from 'node:worker_threads';
import { LongtailError } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { describeData, openDataset } from '@longtail/data';
import { blobCache, nodeFiles } from '@longtail/store/node';
import type { InspectedJob, Inspection, InspectionReply } from './inspect-data.js';
import { modelFiles } from './served-files.js';

async function inspect(draft: InspectedJob): Promise<Inspection> {
  const source = nodeFiles();
  const { signal } = new AbortController();
  const data = await describeData(draft.data, source, signal);
  const model = await modelFiles(draft.model, source, signal);
  const { signature, tokenizer, classNames } = await openDataset(draft.data, data, { source, cache: blobCache(userCache()) });
  return { signature, files: [...data, ...model], notes: { tokenizer: tokenizer?.toJSON(), classNames } };
}

function send(reply: InspectionReply): void {
  parentPort!.postMessage(reply);
}

try {
  send({ kind: 'done', inspection: await inspect(workerData as InspectedJob) });
} catch (error) {
  send({ kind: 'failed', error: LongtailError.from(error, 'invalid-data').toWire() });
}
