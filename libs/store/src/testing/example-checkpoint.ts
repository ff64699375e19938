import { layOut } from '@longtail/core';
import type { Checkpoint } from '../checkpoints.js';
import { exampleJob } from './example-run.js';

const layout = layOut([
  { name: 'w', shape: [2, 3] },
  { name: 'statistics', shape: [2], trainable: false },
]);

/** A small checkpoint for tests; another one for each version. */
export function exampleCheckpoint(version: number): Checkpoint {
  return {
    run: 'r1',
    job: exampleJob,
    version,
    steps: version,
    leaseBook: {
      samplesPerEpoch: 10,
      epochs: 2,
      applied: 3,
      lost: 1,
      cursor: { epoch: 0, position: 6 },
      returned: [{ epoch: 0, start: 4, end: 6 }],
    },
    rng: { shares: 7 },
    validationSamples: 4,
    blocks: 2,
    metrics: { validation_loss: 0.5, validation_accuracy: 0.75, train_loss: null },
    layout,
    parameters: Float32Array.from({ length: 8 }, (_, i) => version + i / 3),
    state: [new Float32Array(8).fill(version / 7), new Float32Array(8).fill(-1)],
  };
}
