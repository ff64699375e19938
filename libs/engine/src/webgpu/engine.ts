import { createRequire } from 'node:module';
import type { Engine } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { EagerEngine } from '../eager/engine.js';
import { activate, loadTfjs } from '../eager/tfjs.js';
import { findAdapter, isSoftware } from './adapter.js';
import type { Dawn } from './adapter.js';
import { webgpuOps } from './ops.js';
import { pollRarely } from './poll-rarely.js';

const require = createRequire(import.meta.url);

/** tfjs-backend-webgpu on Dawn: NVIDIA, AMD, Intel and Apple without CUDA. Once disposed, it does not keep Node from exiting. */
export async function loadWebgpu(): Promise<Engine> {
  const dawn = await findAdapter();
  const restoreGlobals = actLikeABrowser(dawn);
  const tf = loadTfjs();
  try {
    require('@tensorflow/tfjs-backend-webgpu');
    // Small tensors would be computed on the processor, by other code than large ones.
    tf.env().set('WEBGPU_CPU_FORWARD', false);
    await activate(tf, 'webgpu', 'Update the graphics driver, or use another engine: --engine wasm.');
  } catch (error) {
    restoreGlobals();
    throw error;
  }
  const { info } = dawn.adapter;
  return new WebgpuEngine(tf, `TF.js ${tf.version_core} WebGPU, ${info.description || info.device || info.vendor}`, isSoftware(dawn.adapter) ? 'cpu' : 'gpu', restoreGlobals);
}

class WebgpuEngine extends EagerEngine {
  constructor(
    private readonly tf: typeof tfjs,
    description: string,
    device: 'cpu' | 'gpu',
    private readonly restoreGlobals: () => void,
  ) {
    super({
      info: { name: 'webgpu', description, device },
      tf,
      ops: webgpuOps(tf),
      read: async (tensor, out) => out.set((await tensor.data<'float32'>()) as Float32Array),
    });
  }

  override async dispose(): Promise<void> {
    await super.dispose();
    this.tf.removeBackend('webgpu');
    this.restoreGlobals();
  }
}

/** Puts WebGPU where the backend looks for it, and takes it away again. */
function actLikeABrowser({ gpu, globals }: Dawn): () => void {
  Object.assign(globalThis, globals);
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  const pollAlways = pollRarely(globals.GPUBuffer.prototype);
  return () => {
    pollAlways();
    if (before === undefined) Reflect.deleteProperty(globalThis, 'navigator');
    else Object.defineProperty(globalThis, 'navigator', before);
  };
}
