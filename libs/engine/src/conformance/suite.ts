import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { optimizerStateCount } from '@longtail/core';
import type { Engine, EngineName, OptimizerSpec, Stage } from '@longtail/core';
import { afterAll, beforeAll, describe, expect, test, vi, type MockInstance } from 'vitest';
import { loadTfjs } from '../eager/tfjs.js';
import { loadEngine } from '../load.js';
import { conformanceCases } from './cases.js';
import type { ConformanceCase } from './cases.js';
import { expectClose, expectStats, norm } from './compare.js';
import { describePipelines } from './pipelines.js';
import { ReferenceOptimizer } from './reference-optimizer.js';
import { build, SEED, take, wholeGradient } from './stages.js';
import type { Oracle } from './stages.js';

const OPTIMIZERS: Readonly<Record<string, OptimizerSpec>> = {
  sgd: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0.01 },
  momentum: { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 },
  nesterov: { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.01 },
  // A large epsilon, because Adam's direction is a sign where a gradient is nothing but rounding.
  adam: { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.01, decoupled: false },
  adamw: { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.05, decoupled: true },
  muon: { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.05, decoupled: true, muon: { momentum: 0.9 } },
};

export interface ConformanceOptions {
  /** Fewer repetitions, and longer timeouts, for an engine that takes seconds a step (a graphics card in software). */
  readonly slow?: boolean;
}

/** What every engine promises (core's `Engine` and `Stage`), on every kind of model. The oracle is the `cpu` engine; that one is checked by finite differences. */
export function describeEngine(name: EngineName, { slow = false }: ConformanceOptions = {}): void {
  describe(`engine ${name}`, { timeout: slow ? 120_000 : 30_000 }, () => {
    const [rounds, repeatedSteps] = slow ? [1, 1] : [10, 2];
    const folder = mkdtempSync(join(tmpdir(), 'longtail-engine-'));
    const cases = conformanceCases(folder);
    const oracles = new Map<string, Oracle>();
    let engine: Engine;
    let disposal: MockInstance | undefined;

    beforeAll(async () => {
      const cpu = await loadEngine('cpu');
      for (const testCase of cases) oracles.set(testCase.name, await wholeGradient(cpu, testCase));
      engine = name === 'cpu' ? cpu : await loadEngine(name);
    });
    afterAll(async () => {
      await engine?.dispose();
      expect(disposal).toHaveBeenCalledTimes(1);
      rmSync(folder, { recursive: true });
    });

    test('says what it is', () => {
      expect(engine.info.name).toBe(name);
      expect(engine.info.description).not.toBe('');
    });

    test('a stage is disposed of once, by whoever has it or with the engine', async () => {
      const stage = await build(engine, cases[0]);
      disposal = vi.spyOn(stage, 'dispose');
      await stage.dispose();
    });

    describe.each(cases)('$name', (testCase) => {
      test(name === 'cpu' ? 'its gradient is that of finite differences' : 'its gradient is that of the oracle', async () => {
        const { gradient, stats } = await wholeGradient(engine, testCase);
        if (name === 'cpu') await expectFiniteDifferences(engine, testCase, gradient);
        const oracle = oracles.get(testCase.name)!;
        const stage = await build(engine, testCase);
        expectClose(stage.layout, gradient, oracle.gradient);
        expectStats(stats, oracle.stats);
        expectStats(await stage.evaluate(testCase.batch), oracle.stats);
        await stage.dispose();
      });

      test('a batch in parts gives the gradient of the whole', async () => {
        const stage = await build(engine, testCase, 3);
        const stats = await stage.gradient(testCase.batch);
        expectStats(stats, oracles.get(testCase.name)!.stats);
        const taken = await take(stage);
        expect(taken.samples).toBe(testCase.batch.samples);
        expectClose(stage.layout, taken.gradient, oracles.get(testCase.name)!.gradient);
        expect((await take(stage)).gradient.every((value) => value === 0), 'taking resets the sum').toBe(true);
        await stage.dispose();
      });
    });

    describePipelines(() => engine, cases, oracles, slow);

    const [small, network] = [cases[0], cases.find((testCase) => testCase.spec.type === 'keras')!];

    test.each(Object.entries(OPTIMIZERS))('step is gradient and %s', async (_, optimizer) => {
      await expectReferenceSteps(engine, network, optimizer);
    });

    test('repeats bit for bit', async () => {
      const testCase = cases.find((candidate) => candidate.name === 'gpt')!;
      const runs = [];
      for (let run = 0; run < 2; run++) {
        const stage = await build(engine, testCase);
        await stage.useOptimizer(OPTIMIZERS.adamw);
        for (let i = 0; i < repeatedSteps; i++) await stage.step(testCase.batch, { learningRate: 0.01 });
        await stage.gradient(testCase.batch);
        runs.push({ parameters: await parametersOf(stage), gradient: (await take(stage)).gradient });
        await stage.dispose();
      }
      expect(runs[1]).toEqual(runs[0]);
    });

    test('parameters and optimizer state come back as they were written, and training goes on from them', async () => {
      const [original, copy] = [await build(engine, small), await build(engine, small)];
      for (const stage of [original, copy]) await stage.useOptimizer(OPTIMIZERS.adam);
      for (let i = 0; i < 2; i++) await original.step(small.batch, { learningRate: 0.01 });
      const parameters = await parametersOf(original);
      const state = stateVectors(original, OPTIMIZERS.adam);
      const { steps } = await original.readOptimizerState(state);
      expect(steps).toBe(2);
      await copy.writeParameters(parameters);
      await copy.writeOptimizerState(state, steps);
      const readBack = stateVectors(copy, OPTIMIZERS.adam);
      expect(await copy.readOptimizerState(readBack)).toEqual({ steps: 2 });
      expect(readBack).toEqual(state);
      for (const stage of [original, copy]) await stage.step(small.batch, { learningRate: 0.01 });
      expect(await parametersOf(copy)).toEqual(await parametersOf(original));
      for (const stage of [original, copy]) await stage.dispose();
    });

    test('frozen parameters keep still', async () => {
      const stage = await build(engine, network);
      await stage.useOptimizer(OPTIMIZERS.adamw);
      const before = await parametersOf(stage);
      await stage.step(network.batch, { learningRate: 0.1 });
      const after = await parametersOf(stage);
      for (const { name: slot, offset, length, trainable } of stage.layout.slots) {
        const same = after.subarray(offset, offset + length).every((value, i) => value === before[offset + i]);
        expect(same, `${slot} is unchanged`).toBe(!trainable);
      }
      await stage.dispose();
    });

    test(`${rounds} rounds leave no tensor behind`, async () => {
      const stage = await build(engine, small, 3);
      await stage.useOptimizer(OPTIMIZERS.adam);
      const round = async (): Promise<void> => {
        await stage.step(small.batch, { learningRate: 0.01 });
        await stage.gradient(small.batch);
        await take(stage);
        await stage.evaluate(small.batch);
      };
      await round();
      const before = loadTfjs().memory();
      for (let i = 0; i < rounds; i++) await round();
      const after = loadTfjs().memory();
      expect([after.numTensors, after.numBytes]).toEqual([before.numTensors, before.numBytes]);
      await stage.dispose();
    });

    test('reads the tensors that a part of the parameters touches, adds to that part, and leaves all others alone', async () => {
      const stage = await build(engine, small);
      const before = await parametersOf(stage);
      const { slots, length } = stage.layout;
      const [first, second] = [slots[1], slots[2]];
      const part = { start: first.offset + first.length - 1, length: 2 };
      const within = (i: number) => i >= first.offset && i < second.offset + second.length;
      const read = new Float32Array(length).fill(NaN);
      await stage.readParameters(read, part);
      expect(read).toEqual(before.map((value, i) => (within(i) ? value : NaN)));
      await stage.addParameters(new Float32Array(length).fill(7), part);
      expect(await parametersOf(stage)).toEqual(before.map((value, i) => (i === part.start || i === part.start + 1 ? value + 7 : value)));
      await stage.writeParameters(before);
      expect(await parametersOf(stage)).toEqual(before);
      await stage.dispose();
    });

    test('says so when blocks do not exist', async () => {
      await expect(engine.build(small.spec, { start: 2, end: 9 }, { loss: small.loss, data: small.data, seed: SEED })).rejects.toThrow('blocks 2 to 9 do not exist');
    });
  });
}

async function parametersOf(stage: Stage): Promise<Float32Array> {
  const parameters = new Float32Array(stage.layout.length);
  await stage.readParameters(parameters);
  return parameters;
}

function stateVectors(stage: Stage, optimizer: OptimizerSpec): Float32Array[] {
  return Array.from({ length: optimizerStateCount(optimizer) }, () => new Float32Array(stage.layout.length));
}

/**
 * (L(p + εu) − L(p − εu)) / 2ε ≈ ‖g‖ with u = g / ‖g‖, tensor by tensor: the largest slope there is, so the clearest. The
 * step aims at a change that float32 losses resolve and that crosses few of ReLU's kinks.
 */
async function expectFiniteDifferences(engine: Engine, testCase: ConformanceCase, gradient: Float32Array): Promise<void> {
  const stage = await build(engine, testCase);
  const origin = await parametersOf(stage);
  const lossAt = async (offset: number, length: number, scale: number): Promise<number> => {
    const moved = origin.slice();
    for (let i = offset; i < offset + length; i++) moved[i] += scale * gradient[i];
    await stage.writeParameters(moved);
    const { lossSum, samples, targets } = await stage.evaluate(testCase.batch);
    return (lossSum * samples) / targets;
  };
  for (const { name, offset, length, trainable } of stage.layout.slots) {
    if (!trainable) continue;
    const slope = norm(gradient, offset, length);
    const step = Math.min(3e-4 / slope, 0.1);
    const measured = ((await lossAt(offset, length, step / slope)) - (await lossAt(offset, length, -step / slope))) / (2 * step);
    expect(Math.abs(measured - slope) / slope, `${name}: slope ${slope}, measured ${measured}`).toBeLessThan(0.05);
  }
  await stage.dispose();
}

async function expectReferenceSteps(engine: Engine, testCase: ConformanceCase, optimizer: OptimizerSpec): Promise<void> {
  const [stepped, twin, applied] = [await build(engine, testCase), await build(engine, testCase), await build(engine, testCase)];
  for (const stage of [stepped, applied]) await stage.useOptimizer(optimizer);
  const reference = new ReferenceOptimizer(optimizer, twin.layout);
  const parameters = await parametersOf(twin);
  for (let i = 0; i < 3; i++) {
    const stats = await stepped.step(testCase.batch, { learningRate: 0.05 });
    await twin.writeParameters(parameters);
    expectStats(await twin.gradient(testCase.batch), stats);
    const { gradient, samples } = await take(twin);
    await applied.applyGradient(gradient, samples, { learningRate: 0.05 });
    reference.step(parameters, gradient.map((sum) => sum / samples), 0.05);
  }
  expectClose(stepped.layout, await parametersOf(stepped), parameters);
  expectClose(applied.layout, await parametersOf(applied), parameters);
  for (const stage of [stepped, twin, applied]) await stage.dispose();
}
