// The loop that anybody would write: engine, data, step after step; nothing of Longtail's server or worker.
// Arguments: job file, threads, samples. Prints { samplesPerSecond } of all but the first tenth.
import { readFileSync } from 'node:fs';
import { userCache } from '@longtail/core/user-folders';
import { loadEngine } from '@longtail/engine';
import { describeData, epochOrder, openDataset } from '@longtail/data';
import { parseJobFile, resolveJob, validateJob } from '@longtail/spec';
import { blobCache, nodeFiles } from '@longtail/store';

const [file, threads, samples] = process.argv.slice(2);
const draft = validateJob(parseJobFile(readFileSync(file, 'utf8'), file));
const source = nodeFiles();
const files = await describeData(draft.data, source, new AbortController().signal);
const dataset = await openDataset(draft.data, files, { source, cache: blobCache(userCache()) });
const job = resolveJob(draft, dataset.signature);

const engine = await loadEngine('tensorflow', { threads: Number(threads) });
const stage = await engine.build(job.model, 'all', { loss: job.loss, data: dataset.signature, seed: job.train.seed });
await stage.useOptimizer(job.train.optimizer);

const length = dataset.length('train');
const steps = Math.floor(Number(samples) / job.train.batch);
const warmUp = Math.ceil(steps / 10);
let startMs = 0;
for (let step = 0, position = 0, epoch = 0; step < steps; step++, position += job.train.batch) {
  if (step === warmUp) startMs = performance.now();
  if (position + job.train.batch > length) [position, epoch] = [0, epoch + 1];
  const indices = epochOrder(length, job.train.seed, epoch).indices({ epoch, start: position, end: position + job.train.batch });
  await stage.step(dataset.batch('train', indices), { learningRate: job.train.learningRate });
}
const seconds = (performance.now() - startMs) / 1000;
console.log(JSON.stringify({ samplesPerSecond: ((steps - warmUp) * job.train.batch) / seconds }));
process.exit(0);
