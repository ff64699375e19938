import { layOut } from '@longtail/core';
import { expect, test } from 'vitest';
import { Graph } from './graph.js';
import { addOptimizer, optimizerFeeds } from './optimizer-graph.js';
import { readVariable, unpackVariables } from './variables.js';

const ADAM = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false } as const;

function graphOf(optimizer: Parameters<typeof addOptimizer>[1], fused = false): { graph: Graph; nodes: string[] } {
  const graph = new Graph();
  const { slots } = layOut([
    { name: 'bias', shape: [3] },
    { name: 'weights', shape: [4, 3] },
  ]);
  const parameters = unpackVariables(graph, 'parameters', 2);
  const values = parameters.map((handle, i) => readVariable(graph, handle, { dtype: 1, shape: slots[i].shape }));
  const nodes = addOptimizer(graph, optimizer, {
    slots,
    parameters,
    values,
    gradients: values,
    stateHandles: (count) => unpackVariables(graph, 'optimizerState', count),
    readersOf: () => [],
    fused,
    before: [],
  });
  return { graph, nodes };
}

test('the graph of an optimizer has a placeholder for each of its feeds', () => {
  const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;
  for (const optimizer of [
    sgd,
    { ...sgd, momentum: 0.9 },
    ADAM,
    { ...ADAM, weightDecay: 0.1 },
    { ...ADAM, weightDecay: 0.1, decoupled: true },
    { ...ADAM, weightDecay: 0.1, decoupled: true, muon: { momentum: 0.95 } },
  ]) {
    const { graph, nodes } = graphOf(optimizer);
    const placeholders = [...graph.ancestors(nodes)].filter((name) => graph.node(name).op === 'Placeholder');
    const scalars = placeholders.filter((name) => name !== 'parameters' && name !== 'optimizerState');
    expect(scalars.sort()).toEqual(Object.keys(optimizerFeeds(optimizer, 1, { learningRate: 0.1 })).sort());
  }
});

test('first step of Adam: the corrections make up for moments that start at 0', () => {
  const { learningRate, epsilon } = optimizerFeeds(ADAM, 1, { learningRate: 0.1 });
  // m = (1 − β₁) g and v = (1 − β₂) g², of which the kernel takes rate · m / (√v + ε).
  const [g, beta1, beta2] = [0.3, Math.fround(0.9), Math.fround(0.999)];
  const moved = (learningRate * (1 - beta1) * g) / (Math.sqrt((1 - beta2) * g * g) + epsilon);
  expect(moved).toBeCloseTo((0.1 * g) / (g + 1e-8), 12);
});
