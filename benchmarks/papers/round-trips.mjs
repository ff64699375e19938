// A step of a pipeline over links of growing round-trip time: GPipe and 1F1B as published, and 1F1B with a cap on microbatches in flight
// that grows with the round trip (ADR 8). Four equal stages, in units of F + B.
import { cappedOneForwardOneBackward, gpipe, listActions, oneForwardOneBackward, simulatePipeline } from '@longtail/schedule';

const [P, M, F, B] = [4, 32, 1, 2];
/** There and back, in multiples of F + B. */
const ROUND_TRIPS = [0, 1, 2, 4];

const BOUND = 'lower-bound.ts: the pipeline filled and emptied once, and one round trip a hop';
/** No schedule is shorter. */
const bound = (roundTrip) => (M + P - 1) * (F + B) + (P - 1) * roundTrip;
const step = (schedule, roundTrip) => trace(schedule, roundTrip, M).makespanMs;

const CASES = [
  ['GPipe', gpipe(), 'ms a step', step, bound, BOUND],
  ['capped 1F1B', cappedOneForwardOneBackward(), 'ms a step', step, bound, BOUND],
  [
    '1F1B',
    oneForwardOneBackward(),
    'ms a microbatch, after the fill',
    (schedule, roundTrip) => (trace(schedule, roundTrip, 2 * M).makespanMs - step(schedule, roundTrip)) / M,
    (roundTrip) => F + B + (roundTrip * (P - 1)) / P,
    'the first stage has p in flight, and waits for p−1 hops there and back each p microbatches',
  ],
];

export default {
  name: 'round-trips',
  title: `Pipelines over links: p = ${P}, m = ${M}, F = ${F} ms, B = ${B} ms`,
  run: () =>
    CASES.flatMap(([name, schedule, unit, measure, formula, source]) =>
      ROUND_TRIPS.map((times) => {
        const roundTrip = times * (F + B);
        const held = Math.max(...trace(schedule, roundTrip, M).ranks.map(({ peakStash }) => peakStash));
        const why = `a step takes ${step(schedule, roundTrip)} ms and holds ${held} microbatches`;
        return {
          what: `${name}, round trip ${times} (F+B), ${unit}`,
          source,
          expected: formula(roundTrip),
          ours: measure(schedule, roundTrip),
          within: 1e-9,
          why,
        };
      }),
    ),
};

function trace(schedule, roundTrip, microbatches) {
  const stages = Array.from({ length: P }, (_, i) => {
    const hop = i < P - 1 ? roundTrip / 2 : 0;
    return { forwardMs: F, backwardMs: B, inputGradientMs: B / 2, activationHopMs: hop, gradientHopMs: hop };
  });
  return simulatePipeline(listActions(schedule, stages, microbatches), stages);
}
