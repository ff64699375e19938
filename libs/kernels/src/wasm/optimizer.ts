import { assertLength, type OptimizerKernels } from '../kernels.js';
import { operand, type Workspace } from './workspace.js';

export function wasmOptimizerKernels(workspace: Workspace): OptimizerKernels {
  const { wasm } = workspace;
  return {
    sgd(parameters, gradient, { gradientScale, learningRate, weightDecay }) {
      assertLength(gradient.length, parameters.length, 'gradient');
      const operands = [operand(parameters, 'update'), operand(gradient, 'read')];
      workspace.forEachBlock(parameters.length, operands, ([p, g], length) => {
        wasm.sgd(p!, g!, length, gradientScale, learningRate, weightDecay);
      });
    },

    sgdMomentum(parameters, gradient, buffer, coefficients) {
      assertLength(gradient.length, parameters.length, 'gradient');
      assertLength(buffer.length, parameters.length, 'buffer');
      const { gradientScale, learningRate, weightDecay, momentum, direct, carried } = coefficients;
      const operands = [operand(parameters, 'update'), operand(gradient, 'read'), operand(buffer, 'update')];
      workspace.forEachBlock(parameters.length, operands, ([p, g, b], length) => {
        wasm.sgdMomentum(p!, g!, b!, length, gradientScale, learningRate, weightDecay, momentum, direct, carried);
      });
    },

    adam(parameters, gradient, firstMoment, secondMoment, coefficients) {
      assertLength(gradient.length, parameters.length, 'gradient');
      assertLength(firstMoment.length, parameters.length, 'firstMoment');
      assertLength(secondMoment.length, parameters.length, 'secondMoment');
      const { gradientScale, l2, keep, oneMinusBeta1, beta2, oneMinusBeta2, stepSize, rootScale, epsilon } = coefficients;
      const operands = [
        operand(parameters, 'update'),
        operand(gradient, 'read'),
        operand(firstMoment, 'update'),
        operand(secondMoment, 'update'),
      ];
      workspace.forEachBlock(parameters.length, operands, ([p, g, m, v], length) => {
        wasm.adam(p!, g!, m!, v!, length, gradientScale, l2, keep, oneMinusBeta1, beta2, oneMinusBeta2, stepSize, rootScale, epsilon);
      });
    },
  };
}
