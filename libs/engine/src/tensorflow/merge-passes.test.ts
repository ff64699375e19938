import { expect, test } from 'vitest';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { GraphNode, Output } from './graph-def.js';
import { Graph } from './graph.js';
import { mergePasses } from './merge-passes.js';

const start = (): { graph: Graph; x: Output; b: Output } => {
  const graph = new Graph();
  return { graph, x: graph.placeholder('x', DataType.float, [2, 3]), b: graph.placeholder('b', DataType.float, [3]) };
};
const merged = (graph: Graph, fetches: readonly Output[]): Map<string, GraphNode> =>
  new Map(mergePasses(graph.prune(fetches), fetches).map((node) => [node.op, node]));

test('a bias merges with the ReLU behind it, which keeps its name', () => {
  const { graph, x, b } = start();
  const y = graph.float('Relu', [graph.add('LongtailBias', [x, b], {})]);
  const nodes = merged(graph, [y]);
  expect(nodes.has('LongtailBias')).toBe(false);
  expect(nodes.get('LongtailBiasRelu')).toMatchObject({ name: nodeOf(y), inputs: [x, b] });
});

test('a bias that somebody else reads stays', () => {
  const { graph, x, b } = start();
  const sum = graph.add('LongtailBias', [x, b], {});
  const fetches = [graph.float('Relu', [sum]), graph.float('Neg', [sum])];
  expect([...merged(graph, fetches).keys()]).toEqual(expect.arrayContaining(['LongtailBias', 'Relu', 'Neg']));
});

test('a bias merges with the GELU behind it, and gives its sum to the gradient', () => {
  const { graph, x, b } = start();
  const sum = graph.add('LongtailBias', [x, b], {});
  const y = graph.float('Neg', [graph.add('LongtailGelu', [sum], {})]);
  const slope = graph.add('LongtailGeluGrad', [x, sum], {});
  const nodes = merged(graph, [y, slope]);
  const both = nodes.get('LongtailBiasGelu')!;
  expect(nodes.get('Neg')!.inputs).toEqual([`${both.name}:1`]);
  expect(nodes.get('LongtailGeluGrad')!.inputs).toEqual([x, `${both.name}:0`]);
});

test.each([
  ['ReluGrad', 'LongtailReluBiasGrad'],
  ['LongtailGeluGrad', 'LongtailGeluBiasGrad'],
])('%s merges with its sum over the rows', (op, both) => {
  const { graph, x } = start();
  const dx = graph.add(op, [x, x], { T: attribute.type(DataType.float) });
  const use = graph.float('Neg', [graph.add('LongtailBiasGrad', [dx], {})]);
  const nodes = merged(graph, [dx, use]);
  expect(nodes.get(both)).toMatchObject({ name: nodeOf(dx), attributes: {} });
  expect(nodes.get('Neg')!.inputs).toEqual([`${nodeOf(dx)}:1`]);
});

test('loss and hits look at the logits once, also when each asks for its own shape', () => {
  const { graph, x } = start();
  const flat = (): Output => graph.float('Reshape', [x, graph.ints([-1, 3])]);
  const labels = graph.placeholder('labels', DataType.int32, [2]);
  const loss = graph.add('LongtailCrossEntropy', [flat(), labels], {});
  const best = graph.add('LongtailArgMax', [flat()], {});
  const hits = graph.add('Equal', [best, labels], {});
  const nodes = merged(graph, [loss, hits]);
  expect(nodes.has('LongtailArgMax')).toBe(false);
  expect(nodes.get('Equal')!.inputs).toEqual([`${nodeOf(loss)}:2`, labels]);
});

test('loss and hits share logits that come out of a merged activation', () => {
  const { graph, x, b } = start();
  const y = graph.add('LongtailGelu', [graph.add('LongtailBias', [x, b], {})], {});
  const flat = (): Output => graph.float('Reshape', [y, graph.ints([-1, 3])]);
  const labels = graph.placeholder('labels', DataType.int32, [2]);
  const loss = graph.add('LongtailCrossEntropy', [flat(), labels], {});
  const hits = graph.add('Equal', [graph.add('LongtailArgMax', [flat()], {}), labels], {});
  const nodes = merged(graph, [loss, hits]);
  expect(nodes.has('LongtailGelu')).toBe(false);
  expect(nodes.get('Equal')!.inputs).toEqual([`${nodeOf(loss)}:2`, labels]);
});

test('what is fetched or waited for stays', () => {
  const { graph, x, b } = start();
  const sum = graph.add('LongtailBias', [x, b], {});
  const y = graph.float('Relu', [sum]);
  const waiting = graph.float('Neg', [x], {}, [nodeOf(sum)]);
  expect(merged(graph, [y, waiting]).has('LongtailBias')).toBe(true);
  expect(merged(graph, [y, sum]).has('LongtailBias')).toBe(true);
});
