import { describe, expect, test } from 'vitest';
import { attribute, DataType, encodeSavedModel } from './graph-def.js';
import { Graph } from './graph.js';

function chain(): Graph {
  const graph = new Graph();
  const x = graph.placeholder('x', DataType.float, [2]);
  const y = graph.add(
    'Relu',
    [x],
    { T: attribute.type(DataType.float) },
    { name: 'y', outputTypes: [{ dtype: DataType.float, shape: [2] }] },
  );
  graph.add('Neg', [y], { T: attribute.type(DataType.float) }, { name: 'z' });
  graph.add('Exp', [x], { T: attribute.type(DataType.float) }, { name: 'unused' });
  graph.add('NoOp', [], {}, { name: 'last', after: ['z'] });
  return graph;
}

describe('a graph', () => {
  test('keeps equal constants once, and tells shapes and types apart', () => {
    const graph = new Graph();
    const values = Float32Array.of(1, 2, 3, 4);
    expect(graph.constant(DataType.float, [4], values)).toBe(graph.constant(DataType.float, [4], values.slice()));
    expect(graph.constant(DataType.float, [2, 2], values)).not.toBe(graph.constant(DataType.float, [4], values));
    expect(graph.constant(DataType.int32, [4], values)).not.toBe(graph.constant(DataType.float, [4], values));
    expect(graph.size).toBe(3);
  });

  test('freezes a constant when it is added', () => {
    const graph = new Graph();
    const values = Float32Array.of(1);
    const first = graph.constant(DataType.float, [1], values);
    values[0] = 2;
    expect(graph.constant(DataType.float, [1], values)).not.toBe(first);
  });

  test('has each name once', () => {
    expect(() => chain().placeholder('x', DataType.float, [])).toThrow('already has a node x');
  });

  test('prunes what no fetch needs, and keeps what has to run before', () => {
    const names = (fetch: 'z:0' | 'last:0') =>
      chain()
        .prune([fetch])
        .map((node) => node.name);
    expect(names('z:0')).toEqual(['x', 'y', 'z']);
    expect(names('last:0')).toEqual(['x', 'y', 'z', 'last']);
  });

  test('knows users, ancestors and types of outputs', () => {
    const graph = chain();
    expect(graph.users('x:0').map((node) => node.name)).toEqual(['y', 'unused']);
    expect([...graph.ancestors(['y'])].sort()).toEqual(['x', 'y']);
    expect(graph.typeOf('y:0')).toEqual({ dtype: DataType.float, shape: [2] });
    expect(() => graph.typeOf('z:0')).toThrow('not known');
  });

  test('rewires a range of nodes only', () => {
    const graph = chain();
    graph.placeholder('other', DataType.float, [2]);
    graph.rewire(
      2,
      4,
      new Map([
        ['x:0', 'other:0'],
        ['y:0', 'other:0'],
      ]),
    );
    expect(graph.node('y').inputs).toEqual(['x:0']);
    expect(graph.node('z').inputs).toEqual(['other:0']);
    expect(graph.node('unused').inputs).toEqual(['other:0']);
  });
});

test('a saved model begins with schema version 1 and names its ops', () => {
  const bytes = Buffer.from(encodeSavedModel(chain().prune(['last:0'])));
  expect([...bytes.subarray(0, 2)]).toEqual([8, 1]);
  for (const text of ['Relu', 'Placeholder', '^z', 'longtail']) expect(bytes.includes(text), text).toBe(true);
});
