import { isMuonMatrix, optimizerStateCount } from '@longtail/core';
import type { OptimizerSpec, ParameterSlot, StepHyper } from '@longtail/core';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import type { Graph } from './graph.js';
import { addMuon } from './muon-graph.js';
import { readVariable } from './variables.js';

export interface OptimizerInputs {
  /** Of the trainable parameters. */
  readonly slots: readonly ParameterSlot[];
  /** Handles of the trainable parameters, and their values before the step. */
  readonly parameters: readonly Output[];
  readonly values: readonly Output[];
  readonly gradients: readonly Output[];
  /** Handles of the state, all parameters' first moments before all second ones. */
  readonly stateHandles: (count: number) => readonly Output[];
  /** Nodes that must have read parameter `i` before it changes. */
  readonly readersOf: (i: number) => readonly string[];
  /** Whether there is one op that steps all parameters at once. */
  readonly fused: boolean;
  /** Nodes that must have run, beside those of the gradients, before that op changes any parameter. */
  readonly before: readonly string[];
}

/** What a step feeds: JavaScript would freeze it in the graph. */
export function optimizerFeeds(optimizer: OptimizerSpec, step: number, { learningRate }: StepHyper): Record<string, number> {
  if (optimizer.type === 'sgd') return { learningRate };
  // Kingma & Ba 2015, end of section 2: the bias corrections folded into the rate and into ε. In float64 here, the kernel
  // would in float32; of the float32 betas, for those are what the kernel's moments decay by.
  const correction1 = 1 - Math.fround(optimizer.beta1) ** step;
  const correction2 = Math.sqrt(1 - Math.fround(optimizer.beta2) ** step);
  const feeds = { learningRate: (learningRate * correction2) / correction1, epsilon: optimizer.epsilon * correction2 };
  return {
    ...feeds,
    ...(shrinks(optimizer) ? { shrink: learningRate * optimizer.weightDecay } : {}),
    ...(optimizer.muon === undefined ? {} : { muonRate: learningRate }),
  };
}

/** Whether weights decay on their own (Loshchilov & Hutter 2019) and not through the gradient. */
function shrinks(optimizer: Extract<OptimizerSpec, { type: 'adam' }>): boolean {
  return optimizer.decoupled && optimizer.weightDecay !== 0;
}

/** Matrices by Muon, the rest by the optimizer that it goes with. */
function addWithMuon(graph: Graph, optimizer: Extract<OptimizerSpec, { type: 'adam' }>, inputs: OptimizerInputs): string[] {
  const count = inputs.parameters.length;
  const state = inputs.stateHandles(2 * count);
  const indices = inputs.slots.map((_, i) => i);
  const rest = indices.filter((i) => !isMuonMatrix(inputs.slots[i]));
  const of = <T>(list: readonly T[]): T[] => rest.map((i) => list[i]);
  const others = addOptimizer(graph, { ...optimizer, muon: undefined }, {
    ...inputs,
    slots: of(inputs.slots),
    parameters: of(inputs.parameters),
    values: of(inputs.values),
    gradients: of(inputs.gradients),
    stateHandles: () => [...of(state), ...of(state.slice(count))],
    readersOf: (i) => inputs.readersOf(rest[i]),
  });
  const rate = graph.placeholder('muonRate', DataType.float, []);
  const matrices = indices.filter((i) => isMuonMatrix(inputs.slots[i]));
  return [
    ...others,
    ...matrices.flatMap((i) =>
      addMuon(graph, optimizer, {
        parameter: inputs.parameters[i],
        value: inputs.values[i],
        gradient: inputs.gradients[i],
        momentum: state[i],
        shape: inputs.slots[i].shape,
        rate,
        readers: inputs.readersOf(i),
      }),
    ),
  ];
}

/** Adds the nodes of one optimizer step; all parameters have changed when the nodes it names have run. */
export function addOptimizer(graph: Graph, optimizer: OptimizerSpec, inputs: OptimizerInputs): string[] {
  if (optimizer.type === 'adam' && optimizer.muon !== undefined) return addWithMuon(graph, optimizer, inputs);
  const scalar = (name: string): Output => graph.placeholder(name, DataType.float, []);
  const learningRate = scalar('learningRate');
  const flags = { use_locking: attribute.bool(false) };
  const decayed = (i: number): Output =>
    optimizer.weightDecay === 0
      ? inputs.gradients[i]
      : graph.float('AddV2', [inputs.gradients[i], graph.float('Mul', [inputs.values[i], graph.scalar(optimizer.weightDecay)])]);

  const count = inputs.parameters.length;
  const states = optimizerStateCount(optimizer) * count;
  const state = states > 0 ? inputs.stateHandles(states) : [];
  if (optimizer.type === 'sgd') {
    const momentum = graph.scalar(optimizer.momentum);
    return inputs.parameters.map((parameter, i) =>
      nodeOf(
        states === 0
          ? graph.float('ResourceApplyGradientDescent', [parameter, learningRate, decayed(i)], flags, inputs.readersOf(i))
          : graph.float(
              'ResourceApplyMomentum',
              [parameter, state[i], learningRate, decayed(i), momentum],
              { ...flags, use_nesterov: attribute.bool(optimizer.nesterov) },
              inputs.readersOf(i),
            ),
      ),
    );
  }

  const shrink = shrinks(optimizer) ? scalar('shrink') : undefined;
  const epsilon = scalar('epsilon');
  if (inputs.fused && count > 0) {
    // Takes the values of the variables, which alias them, and writes to those: by C alone a variable is out of reach.
    const moments = state.map((handle, i) => readVariable(graph, handle, graph.typeOf(inputs.values[i % count])));
    const operands = [...inputs.values, ...moments, ...inputs.gradients, learningRate, epsilon, shrink ?? graph.scalar(0)];
    const attributes = {
      N: attribute.int(count),
      beta1: attribute.float(optimizer.beta1),
      beta2: attribute.float(optimizer.beta2),
      decay: attribute.float(optimizer.decoupled ? 0 : optimizer.weightDecay),
    };
    return [nodeOf(graph.add('LongtailAdam', operands, attributes, { after: inputs.before }))];
  }

  const [zero, beta1, beta2] = [0, optimizer.beta1, optimizer.beta2].map((value) => graph.scalar(value));
  return inputs.parameters.map((parameter, i) => {
    const shrunk =
      shrink && nodeOf(graph.float('ResourceApplyGradientDescent', [parameter, shrink, inputs.values[i]], flags, inputs.readersOf(i)));
    const gradient = optimizer.decoupled ? inputs.gradients[i] : decayed(i);
    // Powers of 0 for β₁ᵗ and β₂ᵗ switch off the kernel's own bias correction.
    const operands = [parameter, state[i], state[count + i], zero, zero, learningRate, beta1, beta2, epsilon, gradient];
    return nodeOf(
      graph.float(
        'ResourceApplyAdam',
        operands,
        { ...flags, use_nesterov: attribute.bool(false) },
        shrunk ? [shrunk] : inputs.readersOf(i),
      ),
    );
  });
}
