import type { Engine } from '@longtail/core';
import { naiveOps } from '../ops/naive.js';
import { EagerEngine } from './engine.js';
import { activate, loadTfjs } from './tfjs.js';

/** TF.js in plain JavaScript with the naive operations: what the other engines are checked against. */
export async function loadCpu(): Promise<Engine> {
  const tf = loadTfjs();
  await activate(tf, 'cpu', 'Reinstall the packages: npm ci.');
  return new EagerEngine({
    info: { name: 'cpu', description: `TF.js ${tf.version_core} plain JavaScript, 1 thread`, device: 'cpu' },
    tf,
    ops: naiveOps(tf),
    read: async (tensor, out) => out.set((await tensor.data<'float32'>()) as Float32Array),
  });
}
