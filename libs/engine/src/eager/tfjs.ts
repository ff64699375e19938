import { createRequire } from 'node:module';
import { LongtailError } from '@longtail/core';
import type { EngineName } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';

const require = createRequire(import.meta.url);

/**
 * TF.js's CommonJS build, which every backend package requires too: `import` could find its ES build, a second copy with
 * backends and tensors of its own.
 */
export function loadTfjs(): typeof tfjs {
  const tf = require('@tensorflow/tfjs') as typeof tfjs;
  tf.enableProdMode(); // no advice on the console to install other backends
  return tf;
}

/** Makes a backend the active one; TF.js would fall back to another one in silence. */
export async function activate(tf: typeof tfjs, name: Exclude<EngineName, 'tensorflow'>, hint: string): Promise<void> {
  const activated = await tf.setBackend(name);
  await tf.ready();
  if (!activated || tf.getBackend() !== name) throw new LongtailError(`engine ${name} does not start`, { code: 'engine', hint });
}
