// One engine with one model in a process of its own. Takes lines on standard input, answers each with a line of JSON:
//   build FOLDER   builds the model, writes its weights to FOLDER/weights.bin and their layout to FOLDER/layout.json
//   step N         takes N optimizer steps: { ms: [...], losses: [...] }
//   peak           { peakBytes }
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadEngine } from '@longtail/engine';
import { ADAM, RECIPES } from './models.mjs';

const [engineName, modelName, threads] = process.argv.slice(2);
const { learningRate, inputType, ...recipe } = RECIPES[modelName];
const data = { inputShape: recipe.inputShape, inputType, targetShape: recipe.targetShape, targetType: 'int32', classes: recipe.classes };

let stage;
let batch;

async function build(folder) {
  const engine = await loadEngine(engineName, { threads: Number(threads) });
  const path = new URL('./models.mjs', import.meta.url).pathname;
  stage = await engine.build({ type: 'module', path, options: { name: modelName } }, 'all', { loss: 'cross-entropy', seed: 1, data });
  await stage.useOptimizer(ADAM);
  const weights = new Float32Array(stage.layout.length);
  await stage.readParameters(weights);
  writeFileSync(join(folder, 'weights.bin'), weights);
  writeFileSync(join(folder, 'layout.json'), JSON.stringify(stage.layout.slots));
  const read = (name, type) => new type(new Uint8Array(readFileSync(join(folder, name))).buffer);
  batch = {
    samples: recipe.batch,
    inputs: {
      dtype: inputType,
      shape: [recipe.batch, ...recipe.inputShape],
      data: read('inputs.bin', inputType === 'float32' ? Float32Array : Int32Array),
    },
    targets: { dtype: 'int32', shape: [recipe.batch, ...recipe.targetShape], data: read('targets.bin', Int32Array) },
  };
  return { description: engine.info.description };
}

async function step(count) {
  const [ms, losses] = [[], []];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const { lossSum, targets } = await stage.step(batch, { learningRate });
    ms.push(performance.now() - start);
    losses.push(lossSum / targets);
  }
  return { ms, losses };
}

/** Not from getrusage, which counts the parent's memory before exec. */
const peak = () => ({ peakBytes: Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024 });

for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(' ');
  const answer = command === 'build' ? await build(argument) : command === 'step' ? await step(Number(argument)) : peak();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
