import { createRng } from '@longtail/core';
import type { Rng } from '@longtail/core';
import type { Initializer } from './block.js';
import type { StageModel } from './stage-model.js';

/** He et al. 2015: keeps the variance of activations through ReLU layers. */
export function heNormal(fanIn: number): Initializer {
  return { kind: 'normal', std: Math.sqrt(2 / fanIn) };
}

/** Glorot & Bengio 2010: for layers with no ReLU behind them. */
export function glorotUniform(fanIn: number, fanOut: number): Initializer {
  return { kind: 'uniform', limit: Math.sqrt(6 / (fanIn + fanOut)) };
}

/**
 * Fresh values for a stage's flat vector. Each tensor draws from a generator of its own, forked from the seed by the
 * tensor's full name: the values do not depend on the engine, nor on where the model is cut.
 */
export function initialParameters(stage: StageModel, seed: number): Float32Array {
  const flat = new Float32Array(stage.layout.length);
  const rng = createRng(seed);
  stage.layout.slots.forEach((slot, i) => {
    fill(flat.subarray(slot.offset, slot.offset + slot.length), stage.initializers[i], rng.fork(slot.name), slot.name);
  });
  return flat;
}

function fill(out: Float32Array, init: Initializer, rng: Rng, name: string): void {
  switch (init.kind) {
    case 'zeros':
      return void out.fill(0);
    case 'ones':
      return void out.fill(1);
    case 'normal':
      for (let i = 0; i < out.length; i++) out[i] = rng.normal() * init.std;
      return;
    case 'uniform':
      for (let i = 0; i < out.length; i++) out[i] = (2 * rng.uniform() - 1) * init.limit;
      return;
    case 'values':
      if (init.values.length !== out.length) throw new Error(`${name}: ${init.values.length} initial values for ${out.length} parameters`);
      out.set(init.values);
  }
}
