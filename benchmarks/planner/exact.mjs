// The exact search against brute force on random instances: solos, LANs, stages with replicas, narrow servers, local steps.
//   node benchmarks/planner/exact.mjs [--instances 600] [--devices 8] [--blocks 3] [--seed 1]
import { parseArgs } from 'node:util';
import { createRng } from '../../libs/core/dist/index.js';
import { bruteForceRoundMs } from '../../libs/planner/dist/brute-force.js';
import { CostModel } from '../../libs/planner/dist/cost-model.js';
import { randomInstance } from '../../libs/planner/dist/random-instance.js';
import { search } from '../../libs/planner/dist/search.js';

const { values: flags } = parseArgs({
  options: {
    instances: { type: 'string', default: '600' },
    devices: { type: 'string', default: '8' },
    blocks: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
  },
});
const tally = { feasible: 0, pipelines: 0, replicas: 0, 'several groups': 0, 'no plan': 0, different: 0 };
const byDevices = new Map();
let [searchMs, bruteMs, worst] = [0, 0, 0];
for (let i = 0; i < Number(flags.instances); i++) {
  const { profile, cluster, request } = randomInstance(createRng(`${flags.seed}/${i}`), Number(flags.devices), Number(flags.blocks));
  const model = new CostModel(profile, cluster, request);
  let start = performance.now();
  const { solution, exact } = search(model);
  searchMs += performance.now() - start;
  start = performance.now();
  const best = bruteForceRoundMs(model);
  bruteMs += performance.now() - start;
  const count = cluster.devices.length;
  byDevices.set(count, (byDevices.get(count) ?? 0) + 1);
  const found = solution?.roundMs ?? Infinity;
  if (!exact || (found !== best && Math.abs(found / best - 1) > 1e-6)) {
    tally.different++;
    console.log(`instance ${flags.seed}/${i}: exact ${exact}, search ${found} ms, brute force ${best} ms`);
  }
  if (solution === undefined) tally['no plan']++;
  else {
    tally.feasible++;
    if (best < Infinity) worst = Math.max(worst, Math.abs(found / best - 1));
    const stages = solution.groups.flatMap((group) => group.layout.stages);
    if (solution.groups.some((group) => group.layout.stages.length > 1)) tally.pipelines++;
    if (stages.some((stage) => stage.devices.length > 1)) tally.replicas++;
    if (solution.groups.length > 1) tally['several groups']++;
  }
}
console.log(
  JSON.stringify({ ...tally, largestRelativeDifference: worst, searchMs: Math.round(searchMs), bruteForceMs: Math.round(bruteMs) }),
);
console.log('instances by devices:', Object.fromEntries([...byDevices].sort((a, b) => a[0] - b[0])));
