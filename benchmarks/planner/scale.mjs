// Plans for 1,000 devices against the upper bound, and the time they take. Twice: by the gap that a plan prints, where the
// replicas of a stage are one fast device, and by the search's own estimate, in which a microbatch waits for the slowest of them.
//   node benchmarks/planner/scale.mjs [--devices 1000] [--seeds 5]
import { parseArgs } from 'node:util';
import { createRng } from '../../libs/core/dist/index.js';
import { createPlan } from '../../libs/planner/dist/index.js';
import { CostModel } from '../../libs/planner/dist/layout.js';
import { roundMsOf, wholeShares } from '../../libs/planner/dist/rounds.js';
import { search } from '../../libs/planner/dist/search.js';

const { values: flags } = parseArgs({ options: { devices: { type: 'string', default: '1000' }, seeds: { type: 'string', default: '5' } } });
const count = Number(flags.devices);
const GIB = 2 ** 30;
/** fp32 TFLOP/s and GiB of cards that people have. */
const CARDS = [
  [82.6, 24],
  [48.7, 16],
  [29, 12],
  [22, 8],
  [35.6, 24],
  [20.3, 8],
  [13, 12],
  [9.1, 8],
  [6.5, 6],
  [5, 6],
];

/** A GPT of `layers` layers of width `width`, 1,024 tokens a sample, in the style of libs/engine. */
function gpt(width, layers, context = 1024, vocabulary = 50257) {
  const block = (name, parameters, flops, values, tied = []) => ({
    name,
    parameters,
    tied,
    forwardFlops: flops,
    backwardFlops: 2 * flops,
    outputBytes: 4 * context * width,
    stashBytes: 4 * context * values,
    cutAfter: true,
  });
  const table = [{ name: 'embedding.table', parameters: vocabulary * width }];
  const layer = 12 * width * width;
  return {
    name: `gpt-${width}x${layers}`,
    inputBytes: 4 * context,
    blocks: [
      block('embedding', 0, 0, width, table),
      ...Array.from({ length: layers }, (_, i) =>
        block(`layer${i}`, layer, 2 * layer * context + 4 * context * context * width, 16 * width),
      ),
      block('head', width, 2 * vocabulary * width * context, width + vocabulary, table),
    ],
  };
}

const request = {
  stepsPerRound: 1,
  microbatches: [1, 4],
  stateBytesPerParameter: 8,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 16,
  recompute: 'allowed',
  schedule: 'capped-1f1b',
  workspaceBytes: 0.4 * GIB,
};
const fleets = {
  'one hall, 10 Gbit/s, nobody holds the model': (rng) => ({
    profile: gpt(2560, 32),
    cluster: hall(rng),
    request: { ...request, batch: 131072 },
  }),
  'homes, local steps, most hold the model': (rng) => ({
    profile: gpt(1024, 16),
    cluster: homes(rng),
    request: { ...request, batch: 32768, stepsPerRound: 200, upBitsPerValue: 4, downBitsPerValue: 16 },
  }),
  'homes and offices of 5 to 40': (rng) => ({
    profile: gpt(1536, 24),
    cluster: offices(rng),
    request: { ...request, batch: 32768, stepsPerRound: 200, upBitsPerValue: 4, downBitsPerValue: 16 },
  }),
};
for (const [name, make] of Object.entries(fleets)) {
  const ratios = [];
  const estimated = [];
  const times = [];
  let last;
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    const { profile, cluster, request } = make(createRng(`${name}/${seed}`));
    const start = performance.now();
    last = createPlan(profile, cluster, request);
    times.push(performance.now() - start);
    ratios.push(1 - last.gap);
    estimated.push(estimatedRatio(profile, cluster, request));
  }
  const pipelines = last.groups.filter((group) => group.kind === 'pipeline');
  const range = (values, digits) => `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  console.log(
    `${name}: ${range(ratios, 4)} of the bound, by the search's estimate ${range(estimated, 4)}, in ${range(times, 0)} ms; ` +
      `${last.groups.length} groups, ${pipelines.length} pipelines of up to ${Math.max(0, ...pipelines.map((group) => group.stages.length))} stages, ${last.leftOut.length} left out`,
  );
}

function estimatedRatio(profile, cluster, request) {
  const model = new CostModel(profile, cluster, request);
  const { solution, boundMs } = search(model);
  const { scenario, groups } = solution;
  const costs = groups.map(({ layout }) => model.group(layout, scenario.alone));
  const shares = wholeShares(costs, request.batch, request.stepsPerRound, scenario.sharedMs);
  const rounds = costs.map((cost, i) => (shares[i] > 0 ? roundMsOf(cost, shares[i], request.stepsPerRound, scenario.sharedMs) : 0));
  return boundMs / Math.max(...rounds);
}

function card(rng, i, link) {
  const [tflops, gib] = CARDS[rng.below(CARDS.length)];
  return { id: `n${i}`, name: `${tflops} TFLOP/s`, flopsPerSecond: 0.35e12 * tflops, memoryBytes: gib * GIB, ...link };
}

function homeLink(rng) {
  const up = Math.min(100, Math.max(5, 20 * Math.exp(0.8 * rng.normal()))) * 1e6;
  return { upBitsPerSecond: up, downBitsPerSecond: 6 * up, roundTripMs: 20 + 130 * rng.uniform() };
}

function hall(rng) {
  const devices = Array.from({ length: count }, (_, i) =>
    card(rng, i, { upBitsPerSecond: 1e10, downBitsPerSecond: 1e10, roundTripMs: 0.2 }),
  );
  return { devices, lans: [{ name: 'hall', devices: devices.map(({ id }) => id), bitsPerSecond: 1e10, roundTripMs: 0.2 }], peers: [] };
}

function homes(rng) {
  return { devices: Array.from({ length: count }, (_, i) => card(rng, i, homeLink(rng))), lans: [], peers: [] };
}

function offices(rng) {
  const { devices } = homes(rng);
  const lans = [];
  for (let start = 0; start < count / 2;) {
    const size = 5 + rng.below(36);
    lans.push({
      name: `office${lans.length}`,
      devices: devices.slice(start, start + size).map(({ id }) => id),
      bitsPerSecond: 1e9,
      roundTripMs: 0.5,
    });
    start += size;
  }
  return { devices, lans, peers: [] };
}
