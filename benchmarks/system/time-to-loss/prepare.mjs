// What PyTorch needs to train the model of a job from the weights and on the data that Longtail's workers have: weights.bin with
// layout.json, train.bin (samples in the epoch's order) and validation.bin: int32, a token more than a sample has, as targets are one further on.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeData, epochOrder, openDataset } from '@longtail/data';
import { createModel, initialParameters, stageModel } from '@longtail/engine';
import { resolveJob, validateJob } from '@longtail/spec';
import { nodeFiles } from '@longtail/store';

/** Resolves with the number of the model's parameters. */
export async function prepare(document, folder, samples) {
  const draft = validateJob(document);
  const source = nodeFiles();
  const files = await describeData(draft.data, source, new AbortController().signal);
  const dataset = await openDataset(draft.data, files, { source });
  const job = resolveJob(draft, dataset.signature);
  const model = stageModel(await createModel(job.model, { ...dataset.signature, loss: job.loss }), 'all');
  writeFileSync(join(folder, 'weights.bin'), initialParameters(model, job.train.seed));
  writeFileSync(join(folder, 'layout.json'), JSON.stringify({ model: job.model, slots: model.layout.slots }));
  const order = epochOrder(dataset.length('train'), job.train.seed, 0);
  writeFileSync(join(folder, 'train.bin'), withNext(dataset.batch('train', order.indices({ start: 0, end: samples }))));
  const validation = Int32Array.from({ length: job.validation.maxSamples }, (_, i) => i);
  writeFileSync(join(folder, 'validation.bin'), withNext(dataset.batch('validation', validation)));
  return model.layout.length;
}

/** Inputs and the last target of each sample. */
function withNext({ inputs, targets, samples }) {
  const length = inputs.data.length / samples;
  const rows = new Int32Array(samples * (length + 1));
  for (let i = 0; i < samples; i++) {
    rows.set(inputs.data.subarray(i * length, (i + 1) * length), i * (length + 1));
    rows[(i + 1) * (length + 1) - 1] = targets.data[(i + 1) * length - 1];
  }
  return rows;
}
