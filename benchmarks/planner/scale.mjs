// Plans for 1,000 devices against the upper bound, and the time they take:
//   node benchmarks/planner/scale.mjs [--devices 1000] [--seeds 5] [--from SEED] [--only PART-OF-A-FLEET'S-NAME]
// The first plan of a process: --seeds 1 --only … (with node --single-threaded, which compiles and collects in between, on a machine that is not idle)
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { createRng } from '../../libs/core/dist/index.js';
import { createPlan, PLANS_ONCE } from '../../libs/planner/dist/index.js';
import { fleetsOf } from './fleets.mjs';

const { values: flags } = parseArgs({ options: { devices: { type: 'string', default: '1000' }, seeds: { type: 'string', default: '5' }, from: { type: 'string', default: '0' }, only: { type: 'string', default: '' } } });
// As `longtail plan` does.
for (const option of PLANS_ONCE) setFlagsFromString(option);
const from = Number(flags.from);
for (const [name, make] of Object.entries(fleetsOf(Number(flags.devices))).filter(([name]) => name.includes(flags.only))) {
  const ratios = [];
  const times = [];
  let last;
  for (let seed = from; seed < from + Number(flags.seeds); seed++) {
    const { profile, cluster, request } = make(createRng(`${name}/${seed}`));
    const start = performance.now();
    last = createPlan(profile, cluster, request);
    times.push(performance.now() - start);
    ratios.push(1 - last.gap);
  }
  const pipelines = last.groups.filter((group) => group.kind === 'pipeline');
  const range = (values, digits) => `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  console.log(
    `${name}: ${range(ratios, 4)} of the bound in ${range(times, 0)} ms; ` +
      `${last.groups.length} groups, ${pipelines.length} pipelines of up to ${Math.max(0, ...pipelines.map((group) => group.stages.length))} stages, ${last.leftOut.length} left out`,
  );
}
