import { LongtailError } from '@longtail/core';
import type { Batch, DataSignature, Engine, EngineName, ModelSpec, OptimizerSpec } from '@longtail/core';
import { availableEngines, loadEngine } from './load.js';
import type { EngineAvailability, LoadOptions } from './load.js';

export interface ChooseOptions extends LoadOptions {
  readonly preferred: EngineName | 'auto';
}

export interface EngineChoice {
  readonly engine: Engine;
  /** Why this one, for people: `tensorflow is the fastest here: 41 GFLOP/s, wasm 5.2`. */
  readonly why: string;
  /** Effective fp32 GFLOP/s of a training step, of each engine that was measured. */
  readonly measured: Readonly<Partial<Record<EngineName, number>>>;
}

/** The engine asked for, or with `auto` the fastest of those that load, each measured for a fraction of a second. */
export async function chooseEngine(options: ChooseOptions): Promise<EngineChoice> {
  if (options.preferred !== 'auto') return { engine: await loadEngine(options.preferred, options), why: `${options.preferred} was asked for`, measured: {} };
  const found = await availableEngines();
  // The plain JavaScript engine is never the faster one where wasm loads, and slow even to measure.
  const candidates = found.filter((engine) => engine.available && engine.name !== 'cpu').map((engine) => engine.name);
  const measured: Partial<Record<EngineName, number>> = {};
  const failures: string[] = [];
  for (const name of candidates) {
    try {
      const engine = await loadEngine(name, options);
      measured[name] = await measureGflops(engine);
      await engine.dispose();
    } catch (error) {
      failures.push(`${name} failed (${LongtailError.from(error, 'engine').message})`);
    }
  }
  const ranked = (Object.entries(measured) as [EngineName, number][]).sort((a, b) => b[1] - a[1]);
  const best = ranked[0]?.[0] ?? 'cpu';
  return { engine: await loadEngine(best, options), why: explain(ranked, found, failures), measured };
}

function explain(ranked: readonly [EngineName, number][], found: readonly EngineAvailability[], failures: readonly string[]): string {
  const absent = found.flatMap((engine) => (engine.available ? [] : [`${engine.name} is not available (${engine.reason})`]));
  const [best, ...others] = ranked;
  const verdict = best === undefined ? 'only cpu loads' : `${best[0]} is the fastest here: ${[`${format(best[1])} GFLOP/s`, ...others.map(([name, gflops]) => `${name} ${format(gflops)}`)].join(', ')}`;
  return [verdict, ...failures, ...absent].join('; ');
}

function format(gflops: number): string {
  return gflops.toPrecision(2);
}

const PROBE = { size: 12, inputs: 16, channels: 32, hidden: 256, outputs: 10, samples: 16 } as const;

const PROBE_MODEL: ModelSpec = {
  type: 'cnn',
  input: [PROBE.size, PROBE.size, PROBE.inputs],
  channels: [PROBE.channels],
  kernel: 3,
  padding: 'same',
  pool: 'each',
  hidden: [PROBE.hidden],
  outputs: PROBE.outputs,
};

const PROBE_DATA: DataSignature = {
  inputShape: [PROBE.size, PROBE.size, PROBE.inputs],
  inputType: 'float32',
  targetShape: [],
  targetType: 'int32',
  classes: PROBE.outputs,
};

const PROBE_OPTIMIZER: OptimizerSpec = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 };

/**
 * Effective fp32 GFLOP/s of a training step of a small network (a 3×3 convolution and two dense layers): a figure to
 * compare devices by, of the fastest step there was, as whatever else runs here makes others longer. Takes about `budgetMs`, on
 * slow engines the time of two steps.
 */
export async function measureGflops(engine: Engine, budgetMs = 100): Promise<number> {
  const stage = await engine.build(PROBE_MODEL, 'all', { loss: 'cross-entropy', data: PROBE_DATA, seed: 1 });
  try {
    await stage.useOptimizer(PROBE_OPTIMIZER);
    const batch = probeBatch();
    await stage.step(batch, { learningRate: 0.01 }); // traces, compiles, packs
    const untilMs = performance.now() + budgetMs;
    let fastestMs = Infinity;
    do {
      const startedAtMs = performance.now();
      await stage.step(batch, { learningRate: 0.01 });
      fastestMs = Math.min(fastestMs, performance.now() - startedAtMs);
    } while (performance.now() < untilMs);
    return probeFlops() / (fastestMs * 1e6);
  } finally {
    await stage.dispose();
  }
}

function probeBatch(): Batch {
  const { samples, size, inputs, outputs } = PROBE;
  const data = Float32Array.from({ length: samples * size * size * inputs }, (_, i) => Math.sin(i));
  const labels = Int32Array.from({ length: samples }, (_, i) => i % outputs);
  return {
    samples,
    inputs: { dtype: 'float32', shape: [samples, size, size, inputs], data },
    targets: { dtype: 'int32', shape: [samples], data: labels },
  };
}

/** Two a multiply-add; forward, and backward to weights and input; the first layer needs no gradient of its input. */
function probeFlops(): number {
  const { samples, size, inputs, channels, hidden, outputs } = PROBE;
  const convolution = size * size * 9 * inputs * channels;
  const dense = (size / 2) ** 2 * channels * hidden + hidden * outputs;
  return samples * 2 * (2 * convolution + 3 * dense);
}
