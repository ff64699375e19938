// How close capped 1F1B comes to the lower bound, in virtual time; exact and the same on every machine, but for `lists`.
//   node benchmarks/schedule/makespan.mjs [--pipelines 1000] [--seed makespan] [--json]
import { createRng } from '@longtail/core';
import {
  cappedOneForwardOneBackward,
  gpipe,
  listActions,
  lowerBound,
  oneForwardOneBackward,
  simulatePipeline,
  zeroBubble,
} from '@longtail/schedule';
import { randomPipeline } from '@longtail/schedule/testing';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    pipelines: { type: 'string', default: '1000' },
    seed: { type: 'string', default: 'makespan' },
    json: { type: 'boolean', default: false },
  },
});

const SCHEDULES = {
  'capped 1F1B': cappedOneForwardOneBackward(),
  'capped 1F1B, backward split': cappedOneForwardOneBackward({ splitBackward: true }),
  GPipe: gpipe(),
  '1F1B': oneForwardOneBackward(),
  'ZB-H1': zeroBubble(),
};

/** Makespan over the bound for whole backwards, which a split backward may beat, and the mean of the workers' peak stashes. */
function measure(schedule, { stages, microbatches }) {
  const trace = simulatePipeline(listActions(schedule, stages, microbatches), stages);
  const stash = trace.ranks.reduce((sum, { peakStash }) => sum + peakStash, 0) / trace.ranks.length;
  const ownBound = trace.makespanMs / lowerBound(stages, microbatches, schedule);
  return {
    ratio: trace.makespanMs / lowerBound(stages, microbatches),
    ownBound,
    stash,
    stashes: trace.ranks.map(({ peakStash }) => peakStash),
  };
}

/** NUMBERS.md's bound, without the terms that lowerBound adds: each stage is busy between the way there and the way back. */
function workBound({ stages, microbatches }) {
  let [bound, head, tail] = [0, 0, 0];
  for (const { forwardMs, backwardMs, activationHopMs, gradientHopMs } of stages) {
    bound = Math.max(bound, head + microbatches * (forwardMs + backwardMs) + tail);
    head += forwardMs + activationHopMs;
    tail += backwardMs + gradientHopMs;
  }
  return bound;
}

function summary(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const mean = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
  return { mean, p95: sorted[Math.ceil(0.95 * sorted.length) - 1], max: sorted.at(-1) };
}

const rng = createRng(values.seed);
const pipelines = Array.from({ length: Number(values.pipelines) }, () => randomPipeline(rng));
const random = Object.entries(SCHEDULES).map(([name, schedule]) => {
  const measured = pipelines.map((pipeline) => measure(schedule, pipeline));
  const own = summary(measured.map(({ ownBound }) => ownBound)).mean;
  return { name, ...summary(measured.map(({ ratio }) => ratio)), ownBound: own, stash: summary(measured.map(({ stash }) => stash)).mean };
});

const toWork = summary(
  pipelines.map(
    (pipeline) =>
      (measure(SCHEDULES['capped 1F1B'], pipeline).ratio * lowerBound(pipeline.stages, pipeline.microbatches)) / workBound(pipeline),
  ),
);

const limited = [2, 4, 8].map((most) => {
  const ratios = pipelines.map(({ stages, microbatches }) => {
    const maxStash = stages.map(() => most);
    const { makespanMs } = simulatePipeline(listActions(cappedOneForwardOneBackward({ maxStash }), stages, microbatches), stages);
    return makespanMs / lowerBound(stages, microbatches, { maxStash });
  });
  return { most, ...summary(ratios) };
});

/** Lists made for the timings above, on devices and links that are up to these fractions off. */
const off = [
  [0.1, 0.1],
  [0.2, 0.2],
  [0.2, 0.6],
].map(([devices, hops]) => {
  const noise = rng.fork(`${devices}/${hops}`);
  const within = (fraction) => 1 + fraction * (2 * noise.uniform() - 1);
  const ratios = pipelines.map(({ stages, microbatches }) => {
    const real = stages.map((timing) => {
      const slower = within(devices);
      const hop = { activationHopMs: within(hops) * timing.activationHopMs, gradientHopMs: within(hops) * timing.gradientHopMs };
      return { ...timing, ...hop, forwardMs: slower * timing.forwardMs, backwardMs: slower * timing.backwardMs };
    });
    const { makespanMs } = simulatePipeline(listActions(SCHEDULES['capped 1F1B'], stages, microbatches), real);
    return makespanMs / lowerBound(real, microbatches);
  });
  return { devices, hops, ...summary(ratios) };
});

const far = Array.from({ length: 4 }, (_, stage) => ({
  forwardMs: 1,
  backwardMs: 2,
  inputGradientMs: 1,
  activationHopMs: stage < 3 ? 6 : 0,
  gradientHopMs: stage < 3 ? 6 : 0,
}));
const delayed = Object.entries(SCHEDULES).map(([name, schedule]) => ({ name, ...measure(schedule, { stages: far, microbatches: 32 }) }));

// The largest that is asked for: eight stages, 64 microbatches.
const listsMs = Array.from({ length: 20 }, () => {
  let pipeline = randomPipeline(rng);
  while (pipeline.stages.length < 8) pipeline = randomPipeline(rng);
  const startMs = performance.now();
  listActions(cappedOneForwardOneBackward(), pipeline.stages, 64);
  return performance.now() - startMs;
});

if (values.json)
  console.log(
    JSON.stringify({
      benchmark: 'makespan',
      pipelines: pipelines.length,
      random,
      toWork,
      limited,
      off,
      delayed,
      listsMs: summary(listsMs),
    }),
  );
else {
  console.log(`${pipelines.length} random pipelines: makespan / lower bound`);
  for (const { name, mean, p95, max, ownBound, stash } of random) {
    console.log(
      `  ${name.padEnd(28)} mean ${mean.toFixed(4)}  p95 ${p95.toFixed(3)}  max ${max.toFixed(3)}  (of its own bound ${ownBound.toFixed(4)})  stashes ${stash.toFixed(1)}`,
    );
  }
  console.log(
    `  capped, of NUMBERS.md's bound  mean ${toWork.mean.toFixed(4)}  p95 ${toWork.p95.toFixed(3)}  max ${toWork.max.toFixed(3)}`,
  );
  for (const { most, mean, p95, max } of limited) {
    console.log(
      `  capped, memory for ${most} stashes  mean ${mean.toFixed(4)}  p95 ${p95.toFixed(3)}  max ${max.toFixed(3)}  of the bound with that memory`,
    );
  }
  for (const { devices, hops, mean, p95, max } of off) {
    console.log(
      `  capped, devices ± ${100 * devices} %, hops ± ${100 * hops} %  mean ${mean.toFixed(4)}  p95 ${p95.toFixed(3)}  max ${max.toFixed(3)}`,
    );
  }
  console.log('4 equal stages, 32 microbatches, hops of two stage times');
  for (const { name, ratio, stashes } of delayed) console.log(`  ${name.padEnd(28)} ${ratio.toFixed(3)}  stashes ${stashes.join(', ')}`);
  const { mean, max } = summary(listsMs);
  console.log(`lists of 8 stages, 64 microbatches: ${mean.toFixed(1)} ms, ${max.toFixed(1)} at most`);
}
