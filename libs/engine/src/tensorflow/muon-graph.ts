import { muonScale, NEWTON_SCHULZ } from '@longtail/core';
import type { OptimizerSpec } from '@longtail/core';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import type { Graph } from './graph.js';
import { addToVariables, readVariable } from './variables.js';

export interface MuonInputs {
  /** Handle and value of the matrix, and its gradient. */
  readonly parameter: Output;
  readonly value: Output;
  readonly gradient: Output;
  /** Handle. */
  readonly momentum: Output;
  readonly shape: readonly number[];
  readonly rate: Output;
  /** Nodes that must have read the matrix before it changes. */
  readonly readers: readonly string[];
}

/** Adds Muon's step of one matrix; gives the nodes after which it and its momentum have changed. */
export function addMuon(graph: Graph, { muon, weightDecay }: Extract<OptimizerSpec, { type: 'adam' }>, inputs: MuonInputs): string[] {
  const { parameter, value, gradient, shape, rate, readers } = inputs;
  const times = (x: Output, factor: number): Output => graph.float('Mul', [x, graph.scalar(factor)]);
  const plus = (x: Output, y: Output): Output => graph.float('AddV2', [x, y]);
  const beta = muon!.momentum;
  const momentum = readVariable(graph, inputs.momentum, { dtype: DataType.float, shape });
  const change = times(graph.float('Sub', [gradient, momentum]), 1 - beta);
  const next = plus(momentum, change);
  const direction = addOrthogonal(graph, plus(times(gradient, 1 - beta), times(next, beta)), shape);
  const descent = plus(times(direction, muonScale(shape)), times(value, weightDecay));
  const moved = graph.float('ResourceApplyGradientDescent', [parameter, rate, descent], { use_locking: attribute.bool(false) }, readers);
  return [nodeOf(moved), ...addToVariables(graph, [inputs.momentum], [change], [nodeOf(next)])];
}

/** The wider side is the inner one of XXᵀ, which so is small. */
function addOrthogonal(graph: Graph, x: Output, [rows, columns]: readonly number[]): Output {
  const { steps, a, b, c, epsilon } = NEWTON_SCHULZ;
  const product = (left: Output, right: Output, transposed = false): Output =>
    graph.float('MatMul', [left, right], { transpose_a: attribute.bool(false), transpose_b: attribute.bool(transposed) });
  const turned = (y: Output): Output =>
    rows > columns ? graph.float('Transpose', [y, graph.ints([1, 0])], { Tperm: attribute.type(DataType.int32) }) : y;
  const times = (y: Output, factor: number): Output => graph.float('Mul', [y, graph.scalar(factor)]);
  const squares = graph.float('Sum', [graph.float('Square', [x]), graph.ints([0, 1])], { Tidx: attribute.type(DataType.int32), keep_dims: attribute.bool(false) });
  const norm = graph.float('AddV2', [graph.float('Sqrt', [squares]), graph.scalar(epsilon)]);
  let y = turned(graph.float('RealDiv', [x, norm]));
  for (let i = 0; i < steps; i++) {
    const square = product(y, y, true);
    const series = graph.float('AddV2', [times(square, b), times(product(square, square), c)]);
    y = graph.float('AddV2', [times(y, a), product(series, y)]);
  }
  return turned(y);
}
