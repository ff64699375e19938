// Pipelines over real processes against what their plans say: step times of unequal layouts, a pipeline of equal stages against
// its schedule's own bound, the planner's layout against the equal split, and local steps of a stage on two devices and on three. Workers are paced so that all that they really
// compute together stays well below two cores: what a pace stretches is then the device, not the queue for a core.
//   node benchmarks/system/pipelines.mjs [layouts] [bound] [split] [sums] [--rounds 24] [--only NAME] [--codec fp32] [--activation-codec fp32] [--json]
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createSchedule, listActions, simulatePipeline } from '@longtail/schedule';
import { comparePlan } from '@longtail/store';
import yaml from 'yaml';
import { launch, startFleet } from './fleet.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '24' },
    only: { type: 'string', default: '' },
    codec: { type: 'string', default: 'fp32' },
    'activation-codec': { type: 'string', default: 'fp32' },
    json: { type: 'boolean', default: false },
  },
});
const PARTS = { layouts, bound, split, sums };
const BATCH = 48;
const MICROBATCH = 4;
/** Up and down in bit/s, and the round trip in milliseconds. */
const LINK = '100e6,100e6,10';

/** Ten blocks: an embedding, eight layers, a head. */
function job(cluster, { localSteps } = {}) {
  return {
    name: 'pipelines',
    data: { type: 'gutenberg', tokenizer: 'byte', sequence: 64 },
    model: { type: 'gpt', width: 128, layers: 8, heads: 4 },
    train: { batch: BATCH, maxSamples: BATCH * (localSteps ?? 1) * Number(values.rounds), optimizer: { type: 'adamw' }, learningRate: 1e-3, seed: 1 },
    validation: { maxSamples: 8 },
    sync: { codec: values.codec, activationCodec: values['activation-codec'], minDeadline: '60s', ...(localSteps && { strategy: 'diloco', localSteps }) },
    cluster,
  };
}

/** What came of one run. */
async function run(fleet, cluster, sync) {
  const file = join(fleet.folder, 'job.yaml');
  writeFileSync(file, yaml.stringify(job(cluster, sync)));
  const events = (await launch(file, fleet.address)).map((body, i) => ({ seq: i + 1, timeMs: body.timeMs ?? 0, body }));
  const comparison = comparePlan(events);
  if (comparison === undefined) throw new Error('the run had no plan');
  return { comparison, events };
}

async function withFleet(options, use) {
  const fleet = await startFleet({ threads: 1, ...options });
  try {
    return await use(fleet);
  } finally {
    await fleet.end();
  }
}

const stagesOf = (group) => group.map(([worker, blocks]) => ({ worker: `worker-${worker}`, blocks }));
const layoutOf = (...groups) => ({ layout: groups.map(stagesOf), microbatch: MICROBATCH });

const stagesOn = (...stages) => ({ layout: [stages.map(([blocks, ...workers]) => ({ workers: workers.map((worker) => `worker-${worker}`), blocks }))], microbatch: MICROBATCH });

/** Local steps of a pipeline whose first stage has replicas, which sum their gradients at each of them over links of 100 Mbit/s. */
async function sums() {
  const shapes = { 'a stage on two devices': stagesOn([5, 1, 2], [5, 3]), 'a stage on three devices': stagesOn([6, 1, 2, 3], [4, 4]) };
  return withFleet({ paces: [0.12, 0.12, 0.12, 0.2], link: LINK }, async (fleet) => {
    const results = [];
    for (const [name, cluster] of Object.entries(shapes).filter(([name]) => name.includes(values.only))) {
      const { comparison } = await run(fleet, cluster, { localSteps: 4 });
      const { roundMs } = comparison;
      results.push({ name, ...roundMs, error: roundMs.measured / roundMs.planned - 1 });
      console.error(`${name}: planned ${roundMs.planned.toFixed(0)} ms a round of four steps, measured ${roundMs.measured.toFixed(0)} ms (${percent(results.at(-1).error)})`);
    }
    return { sums: results };
  });
}

/** Six unequal layouts of four workers, pipelines of two to four stages and solo workers beside them. */
async function layouts() {
  const shapes = {
    'four stages 4 3 2 1': layoutOf([[1, 4], [2, 3], [3, 2], [4, 1]]),
    'four stages 2 2 3 3': layoutOf([[1, 2], [2, 2], [3, 3], [4, 3]]),
    'three stages': layoutOf([[2, 4], [1, 5], [4, 1]]),
    'two pipelines of two': layoutOf([[1, 6], [3, 4]], [[2, 7], [4, 3]]),
    'a pipeline of three and a solo': layoutOf([[2, 5], [3, 3], [4, 2]], [[1, 10]]),
    'a pipeline of two and two solos': layoutOf([[2, 6], [3, 4]], [[1, 10]], [[4, 10]]),
  };
  return withFleet({ paces: [0.3, 0.24, 0.16, 0.1] }, async (fleet) => {
    const results = [];
    for (const [name, cluster] of Object.entries(shapes).filter(([name]) => name.includes(values.only))) {
      const { roundMs, deviation, groups } = (await run(fleet, cluster)).comparison;
      const exchanges = groups.map(({ exchangeMs, stages }) => ({ ...exchangeMs, devices: stages.flat().map(({ name, exchange }) => ({ name, ...exchange })) }));
      results.push({ name, ...roundMs, error: roundMs.measured / roundMs.planned - 1, deviation: deviation.sentence, exchanges });
      console.error(`${name}: planned ${roundMs.planned.toFixed(0)} ms a round, measured ${roundMs.measured.toFixed(0)} ms (${percent(results.at(-1).error)}). ${deviation.sentence}`);
    }
    return { layouts: results, worst: Math.max(...results.map(({ error }) => Math.abs(error))) };
  });
}

/** The schedule with the passes as long as they were, and nothing in between; against what the step took. */
async function bound() {
  return withFleet({ paces: [0.15, 0.15, 0.15, 0.15] }, async (fleet) => {
    const { comparison, events } = await run(fleet, layoutOf([[1, 3], [2, 2], [3, 2], [4, 3]]));
    const [group] = comparison.groups;
    const stages = group.stages.map(([{ passMs }]) => ({
      forwardMs: passMs.measured / 3,
      backwardMs: (2 * passMs.measured) / 3,
      inputGradientMs: passMs.measured / 3,
      activationHopMs: 0,
      gradientHopMs: 0,
    }));
    const { makespanMs } = simulatePipeline(listActions(createSchedule('capped-1f1b'), stages, BATCH / MICROBATCH), stages);
    const passes = stages.map(({ forwardMs, backwardMs }) => forwardMs + backwardMs);
    const reached = makespanMs / group.stepMs.measured;
    console.error(`passes of ${passes.map((ms) => ms.toFixed(1)).join(', ')} ms: the schedule takes ${makespanMs.toFixed(0)} ms, the step ${group.stepMs.measured.toFixed(0)} ms: ${percent(reached)} of the bound`);
    return { passes, boundMs: makespanMs, stepMs: group.stepMs.measured, reached, rounds: events.filter(({ body }) => body.event === 'commit').length };
  });
}

/**
 * Nobody holds the model: the planner lays it out; and as many blocks on each. Each twice, in an order in which a machine that
 * gets faster or slower all the while favours neither.
 */
async function split() {
  const memory = 40 * 2 ** 20;
  return withFleet({ paces: [0.4, 0.25, 0.15, 0.1], memory }, async (fleet) => {
    const clusters = { planner: { minWorkers: 4, microbatch: MICROBATCH }, equal: layoutOf([[1, 3], [2, 3], [3, 2], [4, 2]]) };
    const roundMs = { planner: [], equal: [] };
    for (const layout of ['planner', 'equal', 'equal', 'planner']) roundMs[layout].push((await run(fleet, clusters[layout])).comparison.roundMs);
    const together = (layout, of) => roundMs[layout].reduce((sum, round) => sum + round[of], 0);
    const ratio = (of) => together('equal', of) / together('planner', of);
    const result = { predicted: ratio('planned'), measured: ratio('measured'), roundMs };
    console.error(`the planner's layout against the equal split: predicted ${result.predicted.toFixed(2)} ×, measured ${result.measured.toFixed(2)} ×`);
    for (const [layout, rounds] of Object.entries(roundMs)) {
      const each = rounds.map(({ planned, measured }) => `${planned.toFixed(0)} ms a round planned, ${measured.toFixed(0)} measured`);
      console.error(`  ${layout}: ${each.join('; ')}`);
    }
    return { ...result, error: result.measured / result.predicted - 1 };
  });
}

const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;

const result = {};
for (const name of positionals.length > 0 ? positionals : Object.keys(PARTS)) result[name] = await PARTS[name]();
if (values.json) console.log(JSON.stringify(result));
