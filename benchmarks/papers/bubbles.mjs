// The bubbles that the papers of five schedules give as formulas, against the event simulation of libs/schedule: equal stages, no hops.
import { gpipe, interleaved, listActions, oneForwardOneBackward, simulatePipeline, zeroBubble } from '@longtail/schedule';

/** Forward, and the two halves of backward, of a stage. */
const [F, I, W] = [10, 12, 8];
const SHAPES = [
  [4, 8],
  [8, 32],
];
const CHUNKS = 2;

const CASES = [
  ['GPipe', gpipe(), 'Huang et al. 2019 (1811.06965), 2.3', (p, m) => (p - 1) / (m + p - 1)],
  [
    '1F1B',
    oneForwardOneBackward(),
    'Narayanan et al. 2021 (2104.04473), 2.2.1: (p−1)/m of the ideal time',
    (p, m) => (p - 1) / (m + p - 1),
  ],
  [
    `interleaved, v = ${CHUNKS}`,
    interleaved({ chunks: CHUNKS }),
    'the same, 2.2.2: (p−1)/(v·m) of the ideal time',
    (p, m) => (p - 1) / CHUNKS / (m + (p - 1) / CHUNKS),
  ],
  [
    'ZB-H1',
    zeroBubble(),
    'Qi et al. 2023 (2401.10241), 2: a bubble of (p−1)(F+B−W), B without W',
    (p, m) => ((p - 1) * (F + I - W)) / (m * (F + I + W) + (p - 1) * (F + I - W)),
  ],
];

export default {
  name: 'bubbles',
  title: 'Fraction of a step that a pipeline of equal stages stands still',
  run: () =>
    CASES.flatMap(([name, schedule, source, formula]) =>
      SHAPES.map(([p, m]) => {
        const stages = equalStages(p * schedule.chunks, schedule.chunks);
        const { makespanMs, ranks } = simulatePipeline(listActions(schedule, stages, m), stages);
        const idleMs = ranks.reduce((sum, rank) => sum + rank.idleMs, 0);
        return { what: `${name}, p = ${p}, m = ${m}`, source, expected: formula(p, m), ours: idleMs / makespanMs / p, within: 1e-9 };
      }),
    ),
};

function equalStages(count, chunks) {
  const part = { forwardMs: F / chunks, backwardMs: (I + W) / chunks, inputGradientMs: I / chunks, activationHopMs: 0, gradientHopMs: 0 };
  return Array.from({ length: count }, () => part);
}
