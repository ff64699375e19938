import { assertLength, type OptimizerKernels } from '../kernels.js';

const { fround, sqrt } = Math;

export const referenceOptimizerKernels: OptimizerKernels = {
  sgd(parameters, gradient, coefficients) {
    assertLength(gradient.length, parameters.length, 'gradient');
    const { gradientScale, learningRate, weightDecay } = rounded(coefficients);
    for (let i = 0; i < parameters.length; i++) {
      const p = parameters[i]!;
      const g = fround(fround(gradientScale * gradient[i]!) + fround(weightDecay * p));
      parameters[i] = p - fround(learningRate * g);
    }
  },

  sgdMomentum(parameters, gradient, buffer, coefficients) {
    assertLength(gradient.length, parameters.length, 'gradient');
    assertLength(buffer.length, parameters.length, 'buffer');
    const { gradientScale, learningRate, weightDecay, momentum, direct, carried } = rounded(coefficients);
    for (let i = 0; i < parameters.length; i++) {
      const p = parameters[i]!;
      const g = fround(fround(gradientScale * gradient[i]!) + fround(weightDecay * p));
      const b = fround(fround(momentum * buffer[i]!) + g);
      buffer[i] = b;
      parameters[i] = p - fround(learningRate * fround(fround(direct * g) + fround(carried * b)));
    }
  },

  adam(parameters, gradient, firstMoment, secondMoment, coefficients) {
    assertLength(gradient.length, parameters.length, 'gradient');
    assertLength(firstMoment.length, parameters.length, 'firstMoment');
    assertLength(secondMoment.length, parameters.length, 'secondMoment');
    const c = rounded(coefficients);
    for (let i = 0; i < parameters.length; i++) {
      const p = parameters[i]!;
      const g = fround(fround(c.gradientScale * gradient[i]!) + fround(c.l2 * p));
      const m0 = firstMoment[i]!;
      const m = fround(m0 + fround(c.oneMinusBeta1 * fround(g - m0)));
      const v = fround(fround(c.beta2 * secondMoment[i]!) + fround(c.oneMinusBeta2 * fround(g * g)));
      firstMoment[i] = m;
      secondMoment[i] = v;
      const denominator = fround(fround(fround(sqrt(v)) * c.rootScale) + c.epsilon);
      parameters[i] = fround(c.keep * p) - fround(fround(c.stepSize * m) / denominator);
    }
  },
};

/** Coefficients as float32, which is how they enter WASM. */
function rounded<T extends object>(coefficients: T): T {
  return Object.fromEntries(Object.entries(coefficients).map(([name, value]) => [name, fround(value as number)])) as T;
}
