import { LongtailError } from '@longtail/core';
import type { Engine, EngineName } from '@longtail/core';
import { findBinding } from './tensorflow/binding.js';
import { findAdapter } from './webgpu/adapter.js';

/** Every engine, those that usually are the fastest first. */
export const ENGINE_NAMES: readonly EngineName[] = ['tensorflow', 'webgpu', 'wasm', 'cpu'];

export interface LoadOptions {
  /** Threads of the `tensorflow` engine on a processor, default all; has to be given before it is first loaded in a process. */
  readonly threads?: number;
}

export type EngineAvailability =
  | { readonly name: EngineName; readonly available: true }
  | { readonly name: EngineName; readonly available: false; readonly reason: string; readonly hint: string };

/**
 * Loads an engine and makes it TF.js's active one: TF.js computes on one backend at a time, so stages of an engine
 * loaded earlier must not be used while this one is.
 * @throws LongtailError `engine` when it is not available here, with the fix.
 */
export async function loadEngine(name: EngineName, options: LoadOptions = {}): Promise<Engine> {
  switch (name) {
    case 'tensorflow':
      return (await import('./tensorflow/engine.js')).loadTensorflow(options);
    case 'webgpu':
      return (await import('./webgpu/engine.js')).loadWebgpu();
    case 'wasm':
      return (await import('./wasm/engine.js')).loadWasm();
    case 'cpu':
      return (await import('./eager/cpu.js')).loadCpu();
  }
}

/** Which engines this machine has, without loading them: whether the binding is there, whether WebGPU finds a device. */
export function availableEngines(): Promise<readonly EngineAvailability[]> {
  return Promise.all(ENGINE_NAMES.map(availability));
}

async function availability(name: EngineName): Promise<EngineAvailability> {
  try {
    if (name === 'webgpu') await findAdapter();
  } catch (error) {
    const { message, hint } = LongtailError.from(error, 'engine');
    return { name, available: false, reason: message, hint: hint ?? '' };
  }
  if (name === 'tensorflow' && findBinding() === undefined) {
    return { name, available: false, reason: 'the TensorFlow binding is not installed', hint: 'Run `longtail engine install`.' };
  }
  return { name, available: true };
}
