// A training step's time, and what it takes of the processor: of `webgpu` on a graphics card that is what the process burns while it waits.
//
//   node benchmarks/engine/processor-time.mjs [ENGINE [SAMPLES [WIDTH]]]
import { loadEngine } from '@longtail/engine';
import { ADAM } from './models.mjs';

const WARM_UP_MS = 2000;
const MEASURED_MS = 5000;
const [engineName = 'webgpu', samples = 8, width = 64] = process.argv.slice(2).map((value, i) => (i === 0 ? value : Number(value)));

const gpt = { type: 'gpt', vocabulary: 256, context: 32, width, layers: 2, heads: 2, feedForward: 2 * width };
const data = { inputShape: [32], inputType: 'int32', targetShape: [32], targetType: 'int32', classes: 256 };
const engine = await loadEngine(engineName);
const stage = await engine.build(gpt, 'all', { loss: 'cross-entropy', data, seed: 1 });
await stage.useOptimizer(ADAM);
const text = { dtype: 'int32', shape: [samples, 32], data: Int32Array.from({ length: samples * 32 }, (_, i) => (i * 7) % 256) };

async function run(ms) {
  const [startMs, before] = [performance.now(), process.cpuUsage()];
  let steps = 0;
  for (; performance.now() - startMs < ms; steps++) await stage.step({ samples, inputs: text, targets: text }, { learningRate: 1e-3 });
  const { user, system } = process.cpuUsage(before);
  return { stepMs: (performance.now() - startMs) / steps, processorMs: (user + system) / 1000 / steps };
}

await run(WARM_UP_MS);
const { stepMs, processorMs } = await run(MEASURED_MS);
console.log(`${engine.info.description}, ${samples} samples, width ${width}: ${stepMs.toFixed(0)} ms a step, ${processorMs.toFixed(0)} ms of processors`);
process.exit(); // native threads may linger
