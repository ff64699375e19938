import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Engine } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type * as tfjsWasm from '@tensorflow/tfjs-backend-wasm';
import { EagerEngine } from '../eager/engine.js';
import { activate, loadTfjs } from '../eager/tfjs.js';
import { portableOps } from '../ops/portable.js';
import { registerConvolutionGradients } from './convolution.js';
import { registerDepthwiseGradients } from './depthwise.js';
import { WasmKernels } from './heap.js';
import type { WasmBackend } from './heap.js';
import { registerIdentity } from './identity.js';
import { registerMatMul } from './matmul.js';
import { registerPoolingGradient } from './pooling.js';
import { registerSums } from './sums.js';

const require = createRequire(import.meta.url);

let registered = false;

/** tfjs-backend-wasm (XNNPACK, SIMD; TF.js has no threads for it in Node) with the kernels that training needs. */
export async function loadWasm(): Promise<Engine> {
  const tf = loadTfjs();
  const wasm = require('@tensorflow/tfjs-backend-wasm') as typeof tfjsWasm;
  wasm.setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist') + '/');
  await activate(tf, 'wasm', 'Reinstall the packages: npm ci.');
  registerOnce(tf);
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const backend = tf.backend() as unknown as WasmBackend;
  return new EagerEngine({
    info: { name: 'wasm', description: `TF.js ${tf.version_core} WebAssembly${simd ? ' with SIMD' : ''}, 1 thread`, device: 'cpu' },
    tf,
    ops: portableOps(tf),
    copiesUploads: true,
    read: async (tensor, out) => out.set(backend.typedArrayFromHeap(tensor)),
  });
}

/** Replacements are composed from the kernels that were there before: doing it twice would compose them from each other. */
function registerOnce(tf: typeof tfjs): void {
  if (registered) return;
  registered = true;
  const kernels = new WasmKernels(tf);
  registerIdentity(kernels);
  registerMatMul(kernels);
  registerConvolutionGradients(kernels);
  registerDepthwiseGradients(kernels);
  registerPoolingGradient(kernels);
  registerSums(kernels);
}
