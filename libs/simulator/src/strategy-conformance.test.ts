import { downCodecOf, hasErrorFeedback, type ParameterShard } from '@longtail/core';
import { CODEC_IDS, createCodec, createKernels } from '@longtail/kernels';
import { EVERY_CODEC, strategyConformance, type SyncRow, type TrainedRun } from '@longtail/testing';
import { referenceArithmetic, type Arithmetic } from './arithmetic.js';
import { softmaxRegression } from './model.js';
import { simulate } from './simulate.js';
import { job, scenario, unequalFleet } from './testing/scenarios.js';

const kernels = createKernels();
const model = softmaxRegression({ features: 300, classes: 3, trainSamples: 600, validationSamples: 90, seed: 7 });
const epochs = 2;
const chunkLength = 512;

async function train(sync: SyncRow): Promise<TrainedRun> {
  let shard!: ParameterShard;
  const arithmetic: Arithmetic = {
    ...referenceArithmetic,
    createShard: (length, optimizer, differences) => (shard = referenceArithmetic.createShard(length, optimizer, differences)),
  };
  const recipe = job({ train: { batch: 40, epochs, learningRate: 0.03 }, sync, cluster: { minWorkers: unequalFleet.length } });
  const outcome = await simulate(scenario({ job: recipe, model, arithmetic, chunkLength }));
  return { events: outcome.events.map(({ body }) => body), notes: outcome.workerEvents, view: checksum(shard, recipe.sync) };
}

/** Of what all workers hold: the view that differences lead along, or parameters as they were coded. */
function checksum(shard: ParameterShard, sync: Parameters<typeof downCodecOf>[0]): number {
  const downCodec = downCodecOf(sync);
  const values = new Float32Array(shard.length);
  const bytes = new Uint8Array(values.buffer);
  if (hasErrorFeedback(downCodec)) shard.encodeView(0, shard.length, CODEC_IDS.fp32, bytes);
  else {
    const codec = createCodec(downCodec, kernels);
    const coded = new Uint8Array(codec.maxBytes(shard.length));
    codec.decode(coded.subarray(0, shard.encodeParameters(0, shard.length, codec.id, coded)), values);
  }
  return kernels.crc32c(bytes);
}

strategyConformance('in virtual time', { train, samples: epochs * 600, parameters: model.layout.length, chunkLength, firstLoss: Math.log(3) }, EVERY_CODEC);
