import type { Rng } from '@longtail/core';
import type { Drawn } from '@longtail/spec';

/** What a machine gets of a quantity that is drawn for each. */
export function draw(of: Drawn, rng: Rng): number {
  if (typeof of === 'number') return of;
  if ('from' in of) return of.from + (of.to - of.from) * rng.uniform();
  return of.median * Math.exp(of.sigma * rng.normal());
}

export function drawExponential(mean: number, rng: Rng): number {
  return -mean * Math.log(1 - rng.uniform());
}

/** Scale λ of the mean: λ·Γ(1 + 1/shape). */
export function drawWeibull(mean: number, shape: number, rng: Rng): number {
  return (mean / gamma(1 + 1 / shape)) * (-Math.log(1 - rng.uniform())) ** (1 / shape);
}

const LANCZOS = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];

/** Γ(x) for x ≥ 1, relative 1e-14 (Lanczos 1964, g = 7). */
function gamma(x: number): number {
  const sum = LANCZOS.reduce((total, coefficient, i) => total + coefficient / (x + i), 0.99999999999980993);
  const t = x + 6.5;
  return Math.sqrt(2 * Math.PI) * t ** (x - 0.5) * Math.exp(-t) * sum;
}
