import type { StageTiming } from '@longtail/core';
import fc from 'fast-check';

const ms = (min: number, max: number) => fc.double({ min, max, noNaN: true });

/** Of any timings: unequal stages, hops of several stage times, uplinks that are the bottleneck or cost nothing. */
export function stagesOf(count: number): fc.Arbitrary<readonly StageTiming[]> {
  const stage = fc
    .record({
      forwardMs: ms(0.1, 10),
      backwardMs: ms(0.1, 20),
      split: ms(0, 1),
      hops: fc.tuple(ms(0, 60), ms(0, 60)),
      sends: fc.option(fc.tuple(ms(0, 1), ms(0, 1)), { nil: undefined }),
    })
    .map(({ forwardMs, backwardMs, split, hops, sends = [0, 0] }) => ({
      forwardMs,
      backwardMs,
      inputGradientMs: split * backwardMs,
      activationHopMs: hops[0],
      gradientHopMs: hops[1],
      activationSendMs: sends[0] * hops[0],
      gradientSendMs: sends[1] * hops[1],
    }));
  return fc
    .array(stage, { minLength: count, maxLength: count })
    .map((stages) => stages.map((timing, index) => (index < count - 1 ? timing : { ...timing, ...NO_HOPS })));
}

const NO_HOPS = { activationHopMs: 0, gradientHopMs: 0, activationSendMs: 0, gradientSendMs: 0 };

/** Equal stages, next to each other. */
export function equalStages(count: number, forwardMs: number, inputMs: number, weightMs: number): StageTiming[] {
  return Array.from({ length: count }, () => ({
    forwardMs,
    backwardMs: inputMs + weightMs,
    inputGradientMs: inputMs,
    activationHopMs: 0,
    gradientHopMs: 0,
  }));
}
