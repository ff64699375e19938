// A stage's passes one by one: forward, backward whole and in halves, and what a microbatch holds in between.
import { loadEngine } from '@longtail/engine';

const ROUNDS = 25;
const WARM_UP = 5;
const SAMPLES = 8;
const gpt = { type: 'gpt', vocabulary: 4096, context: 128, width: 256, layers: 4, heads: 4, feedForward: 684 };
const data = { inputShape: [128], inputType: 'int32', targetShape: [128], targetType: 'int32', classes: 4096 };
const stages = [
  { name: 'two layers', blocks: { start: 1, end: 3 } },
  { name: 'head', blocks: { start: 5, end: 6 } },
];

const engine = await loadEngine(process.argv[2] ?? 'tensorflow', { threads: 1 });
for (const { name, blocks } of stages) {
  for (const recompute of [false, true]) {
    const stage = await engine.build(gpt, blocks, { loss: 'cross-entropy', data, seed: 1, recompute });
    const { ms, stashBytes, betweenBytes } = await measure(stage);
    const times = Object.entries(ms).map(([pass, all]) => `${pass} ${median(all).toFixed(1)}`);
    const held = `held ${(stashBytes / 1e6).toFixed(1)} MB, between the halves ${(betweenBytes / 1e6).toFixed(1)} MB`;
    console.log(`${name}${recompute ? ', recompute' : ''}: ${times.join(', ')} ms; ${held}`);
    await stage.dispose();
  }
}
process.exit(); // native threads may linger

async function measure(stage) {
  const shape = [SAMPLES, 128, 256];
  const activation = { dtype: 'float32', shape, data: Float32Array.from({ length: SAMPLES * 128 * 256 }, (_, i) => Math.sin(i)) };
  const targets = { dtype: 'int32', shape: [SAMPLES, 128], data: Int32Array.from({ length: SAMPLES * 128 }, (_, i) => i % 4096) };
  const outputGradient = stage.isLast ? undefined : activation;
  const ms = { F: [], B: [], I: [], W: [] };
  const timed = async (pass, work) => {
    const startMs = performance.now();
    await work();
    ms[pass].push(performance.now() - startMs);
  };
  let stashBytes = 0;
  let betweenBytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await timed('F', () => stage.forward(0, activation, targets));
    stashBytes = stage.stashBytes;
    await timed('B', () => stage.backward(0, outputGradient));
    await stage.forward(0, activation, targets);
    await timed('I', () => stage.backwardInput(0, outputGradient));
    betweenBytes = stage.stashBytes;
    await timed('W', () => stage.backwardWeights(0));
  }
  return { ms, stashBytes, betweenBytes };
}

function median(values) {
  return values.slice(WARM_UP).sort((a, b) => a - b)[(values.length - WARM_UP) >> 1];
}
