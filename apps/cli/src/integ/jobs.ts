import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng } from '@longtail/core';

/** Of the table that small jobs train on, without the label; and its rows. */
export const FEATURES = 60;
const ROWS = 320;

/** A folder for a test, with a job file in it, and the table that small jobs train on. */
export async function jobFolder(job: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'longtail-cli-'));
  await Promise.all([writeFile(join(folder, 'job.yaml'), job), writeFile(join(folder, 'points.csv'), points())]);
  return folder;
}

/** Some points, and which side of a plane each is on. */
function points(): string {
  const rng = createRng(7);
  const header = ['label', ...Array.from({ length: FEATURES }, (_, i) => `x${i}`)];
  const rows = Array.from({ length: ROWS }, () => {
    const point = Array.from({ length: FEATURES }, () => rng.normal());
    return [point[0]! + point[1]! > 0 ? 'above' : 'below', ...point.map((value) => value.toFixed(3))];
  });
  return [header, ...rows].map((cells) => cells.join(',')).join('\n');
}

/**
 * A few rounds of a network of 100 KB on small data: the 55 MB of MNIST would be read by each process of each run.
 * It is large enough for rounds to be shorter with several workers, and is validated at the end.
 */
export function smallJob({ rounds = 6, hidden = '400' }: { readonly rounds?: number; readonly hidden?: string } = {}): string {
  return `
data: { type: csv, path: points.csv, target: label }
model: { type: mlp, hidden: [${hidden}] }
train:
  batch: 128
  maxSamples: ${rounds * 128}
  epochs: 1000
  optimizer: sgd
  learningRate: 0.1
  seed: 5
validation: { maxSamples: 512, everyEpochs: 100000 }
`;
}
