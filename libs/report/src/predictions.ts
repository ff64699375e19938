import type { BenchResult, BenchSummary } from '@longtail/core';

/** Of a figure of an arm: what virtual time said, what was live, and by which part of that it was wrong. */
export interface Prediction {
  readonly arm: string;
  readonly seed: number;
  readonly knob: string | undefined;
  readonly figure: keyof typeof FIGURES;
  readonly predicted: number;
  readonly live: number;
  readonly error: number;
}

const FIGURES = {
  'round ms': ({ wallMs, rounds }) => wallMs / (rounds || 1),
  'samples/s': ({ samplesPerSecond }) => samplesPerSecond,
  busy: ({ utilisation }) => utilisation,
  'bytes up': ({ bytesUpPerNode }) => bytesUpPerNode,
  'bytes down': ({ bytesDownPerNode }) => bytesDownPerNode,
  loss: ({ finalLoss }) => finalLoss,
} satisfies Readonly<Record<string, (summary: BenchSummary) => number | undefined>>;

const FIGURE_NAMES = Object.keys(FIGURES) as (keyof typeof FIGURES)[];

/** Of arms that ran in both modes, in the order of the result; none of a bench in one mode. */
export function comparePredictions({ arms, predicted = [] }: Pick<BenchResult, 'arms' | 'predicted'>): readonly Prediction[] {
  return predicted.flatMap(({ outcome: other }, i) => {
    const { name, seed, knob, outcome } = arms[i];
    if (outcome.status !== 'done' || other.status !== 'done') return [];
    return FIGURE_NAMES.flatMap((figure): Prediction[] => {
      const of: (summary: BenchSummary) => number | undefined = FIGURES[figure];
      const [was, said] = [of(outcome.summary), of(other.summary)];
      return was === undefined || said === undefined || was === 0 ? [] : [{ arm: name, seed, knob, figure, predicted: said, live: was, error: said / was - 1 }];
    });
  });
}

/** By how much the time of a round is off on average, and Kendall's τ of the arms' order by samples a second; undefined of no predictions. */
export function accuracyOf(predictions: readonly Prediction[]): { readonly meanError: number; readonly tau: number } | undefined {
  const of = (figure: keyof typeof FIGURES): readonly Prediction[] => predictions.filter((one) => one.figure === figure);
  const [rounds, rates] = [of('round ms'), of('samples/s')];
  if (rounds.length === 0) return undefined;
  const meanError = rounds.reduce((sum, { error }) => sum + Math.abs(error), 0) / rounds.length;
  const tau = kendallTau(
    rates.map(({ live }) => live),
    rates.map(({ predicted }) => predicted),
  );
  return { meanError, tau };
}

/** Kendall's τ of two rankings by these values: 1 the same order, −1 the opposite one. */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  let agree = 0;
  let pairs = 0;
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      pairs++;
      agree += Math.sign(a[i] - a[j]) * Math.sign(b[i] - b[j]);
    }
  }
  return pairs === 0 ? 1 : agree / pairs;
}
