import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for a test, with a job file in it. */
export async function jobFolder(job: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'longtail-cli-'));
  await writeFile(join(folder, 'job.yaml'), job);
  return folder;
}

/** A few rounds of a small network on real data. */
export function smallJob({ rounds = 6, train = '' }: { readonly rounds?: number; readonly train?: string } = {}): string {
  return `
data: mnist
model: { type: mlp, hidden: [32] }
train:
  batch: 128
  maxSamples: ${rounds * 128}
  epochs: 1000
  optimizer: sgd
  learningRate: 0.1
  seed: 5
  ${train}
validation: { maxSamples: 512 }
`;
}
