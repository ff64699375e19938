import type { BenchArm, BenchSummary } from '@longtail/core';

/** Of a figure of an arm: what virtual time said, what was live, and by which part of that it was wrong. */
export interface Prediction {
  readonly arm: string;
  readonly figure: string;
  readonly predicted: number;
  readonly live: number;
  readonly error: number;
}

const FIGURES: Readonly<Record<string, (summary: BenchSummary) => number | undefined>> = {
  'round ms': ({ wallMs, rounds }) => wallMs / (rounds || 1),
  'samples/s': ({ samplesPerSecond }) => samplesPerSecond,
  busy: ({ utilisation }) => utilisation,
  'bytes up': ({ bytesUpPerNode }) => bytesUpPerNode,
  'bytes down': ({ bytesDownPerNode }) => bytesDownPerNode,
  loss: ({ finalLoss }) => finalLoss,
};

/** Of arms that ran in both modes, in the order of `live`. */
export function comparePredictions(live: readonly BenchArm[], predicted: readonly BenchArm[]): readonly Prediction[] {
  return live.flatMap(({ name, outcome }, i) => {
    const other = predicted[i]!.outcome;
    if (outcome.status !== 'done' || other.status !== 'done') return [];
    return Object.entries(FIGURES).flatMap(([figure, of]): Prediction[] => {
      const [was, said] = [of(outcome.summary), of(other.summary)];
      return was === undefined || said === undefined || was === 0 ? [] : [{ arm: name, figure, predicted: said, live: was, error: said / was - 1 }];
    });
  });
}

/** Kendall's τ of two rankings by these values: 1 the same order, −1 the opposite one. */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  let agree = 0;
  let pairs = 0;
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      pairs++;
      agree += Math.sign(a[i]! - a[j]!) * Math.sign(b[i]! - b[j]!);
    }
  }
  return pairs === 0 ? 1 : agree / pairs;
}
