// DT-FM (Yuan et al. 2022, arXiv 2206.01288): GPT-3 XL on 64 V100, placed by a scheduler or at random. Their networks are those of
// scheduler/heuristic_evolutionary_solver/config.py in github.com/DS3Lab/DT-FM: one-way delays in ms, rates in Gbit/s, GB that a
// microbatch's activation and a stage's gradient are. Their cost is evaluated here, for random places and the best that swaps find;
// ours is the planner's, for the layout found and for the same stages on devices drawn from all 64.
import { createRng } from '@longtail/core';
import { CostModel, createPlan, planFor } from '@longtail/planner';
import { gpt, request as gptRequest } from '../planner/fleets.mjs';

const DEVICES = 64;
/** Pipeline stages, and replicas of each. */
const WAYS = 8;
const RANDOM = 20;

const WORLD = {
  'Oregon-Virginia': [67, 0.79],
  'Oregon-Ohio': [49, 1.1],
  'Oregon-Tokyo': [96, 0.523],
  'Oregon-Seoul': [124, 0.46],
  'Oregon-London': [136, 0.42],
  'Oregon-Frankfurt': [143, 0.404],
  'Oregon-Ireland': [124, 0.482],
  'Virginia-Ohio': [11, 1.12],
  'Virginia-Tokyo': [143, 0.524],
  'Virginia-Seoul': [172, 0.5],
  'Virginia-London': [76, 1.16],
  'Virginia-Frankfurt': [90, 1.02],
  'Virginia-Ireland': [67, 1.05],
  'Ohio-Tokyo': [130, 0.694],
  'Ohio-Seoul': [159, 0.529],
  'Ohio-London': [86, 1.05],
  'Ohio-Frankfurt': [99, 0.799],
  'Ohio-Ireland': [77, 1.14],
  'Tokyo-Seoul': [34, 1.1],
  'Tokyo-London': [210, 0.366],
  'Tokyo-Frankfurt': [223, 0.36],
  'Tokyo-Ireland': [199, 0.465],
  'Seoul-London': [238, 0.342],
  'Seoul-Frankfurt': [235, 0.358],
  'Seoul-Ireland': [228, 0.335],
  'London-Frankfurt': [14, 1.14],
  'London-Ireland': [12, 1.09],
  'Frankfurt-Ireland': [24, 1.08],
};
const STATES = {
  'Virginia-Oregon': [67, 1.15],
  'Virginia-California': [59, 1.05],
  'Virginia-Ohio': [11, 1.12],
  'Oregon-California': [12, 1.25],
  'Oregon-Ohio': [49, 1.1],
  'California-Ohio': [52, 1.02],
};
const CASES = [
  { name: 'two universities', between: { 'Ohio-Virginia': [11, 1.12] }, within: [1, 5], activationGB: 288 / 1024, gradientGB: 1 },
  { name: 'four regions of the USA', between: STATES, within: [5, 2], activationGB: 0.4, gradientGB: 0.7 },
  { name: 'eight cities on three continents', between: WORLD, within: [5, 2], activationGB: 0.5, gradientGB: 0.9 },
];

const SOURCE = 'their cost model on their networks, evaluated here, as their figures for random places could not be read; abstract: 8 cities are 4.8 × as fast as Megatron';
/** Inner steps between exchanges: all gradients summed, as theirs; and what Longtail would do. */
const STEPS = [1, 64];

export default {
  name: 'dtfm',
  title: 'DT-FM: how much longer a step takes at random places than at scheduled ones, GPT-3 XL on 64 V100',
  run: () =>
    CASES.flatMap((one) => {
      const network = networkOf(one);
      const expected = theirs(network, one, createRng(`dtfm/${one.name}`));
      return STEPS.map((steps) => {
        const { times, layout } = longtail(network, one, steps, createRng(`dtfm/${one.name}`));
        const why = `${layout}; theirs counts sending alone, for 8 stages of 8 replicas; ours the whole step, computing and the server included`;
        return {
          what: `${one.name}, a sum each ${steps === 1 ? 'step' : `${steps} steps`}, ×`,
          source: SOURCE,
          expected,
          ours: times,
          why,
        };
      });
    }),
};

/** City of each device, and the link between any two. */
function networkOf({ between, within }) {
  const cities = [...new Set(Object.keys(between).flatMap((pair) => pair.split('-')))];
  const city = Array.from({ length: DEVICES }, (_, i) => cities[Math.floor((i * cities.length) / DEVICES)]);
  return {
    cities,
    city,
    link: (a, b) => (city[a] === city[b] ? within : (between[`${city[a]}-${city[b]}`] ?? between[`${city[b]}-${city[a]}`])),
  };
}

function shuffled(rng) {
  const order = Array.from({ length: DEVICES }, (_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// ---- Their cost: the sums among the slowest stage's replicas, and the shortest way through all stages, there and back.

function theirs({ link }, { activationGB, gradientGB }, rng) {
  const seconds = (gigabytes) =>
    Array.from({ length: DEVICES }, (_, a) =>
      Array.from({ length: DEVICES }, (_, b) => (a === b ? 0 : link(a, b)[0] / 1000 + (8 * gigabytes) / link(a, b)[1])),
    );
  const [gradient, activation] = [seconds(gradientGB / WAYS), seconds(activationGB)];
  const cost = (order) => {
    const stages = Array.from({ length: WAYS }, (_, i) => order.slice(i * WAYS, (i + 1) * WAYS));
    const sums = Math.max(
      ...stages.map((members) => Math.max(...members.map((a) => 2 * members.reduce((sum, b) => sum + gradient[a][b], 0)))),
    );
    const hop = stages.map((from) => stages.map((to) => (from === to ? 0 : bottleneck(from, to, activation))));
    return sums + 2 * shortestPath(hop);
  };
  // Stages that keep to a city are where swaps begin.
  let best = Array.from({ length: DEVICES }, (_, i) => i);
  let least = cost(best);
  for (let i = 0; i < 2000; i++) {
    const [a, b] = [rng.below(DEVICES), rng.below(DEVICES)];
    const next = best.with(a, best[b]).with(b, best[a]);
    const found = cost(next);
    if (found < least) [best, least] = [next, found];
  }
  return mean(Array.from({ length: RANDOM }, () => cost(shuffled(rng)))) / least;
}

/** The slowest link of the best matching of one stage's devices with the next one's. */
function bottleneck(from, to, seconds) {
  const limits = [...new Set(from.flatMap((a) => to.map((b) => seconds[a][b])))].sort((a, b) => a - b);
  return limits.find((limit) => {
    const taken = new Map();
    const place = (a, seen) =>
      to.some(
        (b) => seconds[a][b] <= limit && !seen.has(b) && seen.add(b) && (!taken.has(b) || place(taken.get(b), seen)) && taken.set(b, a),
      );
    return from.every((a) => place(a, new Set()));
  });
}

/** Through all places once, beginning and ending anywhere (Held & Karp 1962). */
function shortestPath(distance) {
  const count = distance.length;
  const all = (1 << count) - 1;
  const least = Array.from({ length: all + 1 }, (_, set) => distance.map((_, at) => (set === 1 << at ? 0 : Infinity)));
  for (let set = 1; set <= all; set++)
    for (let at = 0; at < count; at++)
      for (let next = 0; next < count; next++)
        if (!(set & (1 << next)))
          least[set | (1 << next)][next] = Math.min(least[set | (1 << next)][next], least[set][at] + distance[at][next]);
  return Math.min(...least[all]);
}

// ---- Ours: pipelines, as nobody holds the model and its optimizer, with an exchange at the server each round.

function longtail({ cities, city, link }, { within }, stepsPerRound, rng) {
  const server = DEVICES - 1;
  const toServer = (i) => (i === server ? within : link(i, server));
  const devices = city.map((_, i) => {
    const [delayMs, gbit] = toServer(i);
    return {
      id: `gpu${i}`,
      name: 'V100',
      flopsPerSecond: 30e12,
      memoryBytes: 16 * 2 ** 30,
      upBitsPerSecond: 1e9 * gbit,
      downBitsPerSecond: 1e9 * gbit,
      roundTripMs: 2 * delayMs,
    };
  });
  const peers = devices.flatMap((a, i) =>
    devices.slice(i + 1).map((b, k) => {
      const [delayMs, gbit] = link(i, i + 1 + k);
      return { between: [a.id, b.id], bitsPerSecond: 1e9 * gbit, roundTripMs: 2 * delayMs, messageMs: delayMs };
    }),
  );
  const profile = gpt(2048, 24, { context: 2048 });
  const cluster = { devices, lans: [], peers, server: { upBitsPerSecond: 5e9, downBitsPerSecond: 5e9 } };
  const request = { ...gptRequest, batch: 256, stepsPerRound, microbatches: [1] };
  const plan = createPlan(profile, cluster, request);
  const model = new CostModel(profile, cluster, request);
  const place = new Map(devices.map(({ id }, i) => [id, i]));
  const drafts = (order) =>
    plan.groups.map(({ microbatch, stages }) => ({
      microbatch,
      stages: stages.map(({ blocks: { start, end }, devices: members, recompute }) => ({
        start,
        end,
        recompute,
        devices: members.map(({ device }) => order[place.get(device)]),
      })),
    }));
  const roundMs = (order) =>
    planFor(model, { groups: drafts(order), scenario: { alone: plan.groups.length === 1, maxGroups: plan.groups.length, sharedMs: 0 } })
      .roundMs;
  const random = mean(Array.from({ length: RANDOM }, () => roundMs(shuffled(rng))));
  const membersOf = ({ stages }) => stages.flatMap(({ devices: members }) => members.map(({ device }) => place.get(device)));
  const abroad = plan.groups.filter((group) => new Set(membersOf(group).map((i) => city[i])).size > 1).length;
  const used = new Set(plan.groups.flatMap(membersOf)).size;
  const layout = `${used} devices in ${plan.groups.length} pipeline${plan.groups.length === 1 ? '' : 's'}, ${abroad} of them over several of ${cities.length} cities`;
  return { times: random / roundMs(devices.map((_, i) => i)), layout };
}
