import { expect, test } from 'vitest';
import { chain } from '../chain.js';
import type { Fault } from '../faults.js';
import { softmaxRegression } from '../model.js';
import type { Outcome, Scenario } from '../scenario.js';
import { simulate } from '../simulate.js';
import { BLOCKS, PIPELINE_SAMPLES, SOLO_SAMPLES, type ChaosPlan } from './chaos-plan.js';
import { countingArithmetic, countingModel, countingPipeline } from './counting.js';
import { disturbsServer, expectInvariants } from './invariants.js';
import { Punctuality } from './punctuality.js';
import { recordedDifference } from './recorded.js';
import { SentContributions } from './sent-contributions.js';

const SEEDS_A_TEST = 50;
/** One in so many runs is recorded. */
const RECORDED_EACH = 4;
const VALIDATION_SAMPLES = 12;

const MODELS = {
  solo: {
    counts: countingModel(SOLO_SAMPLES, VALIDATION_SAMPLES, 3),
    learns: softmaxRegression({ features: 5, classes: 3, trainSamples: SOLO_SAMPLES, validationSamples: VALIDATION_SAMPLES, seed: 7 }),
  },
  pipelines: {
    counts: countingPipeline(PIPELINE_SAMPLES, VALIDATION_SAMPLES, BLOCKS),
    learns: chain({ features: 4, width: 3, blocks: BLOCKS, trainSamples: PIPELINE_SAMPLES, validationSamples: VALIDATION_SAMPLES, seed: 11 }),
  },
};

const OFTEN = ['cut', 'stall', 'partition', 'freeze', 'restart', 'kill', 'leave', 'pause', 'finish', 'drain', 'slow', 'fail', 'clock-jump', 'kill-server', 'message twice', 'message late'];
const SELDOM = [
  ...['duplicate', 'late', 'corrupt', 'nan', 'truncated', 'misshapen', 'stale', 'wrong-task', 'wrong-run', 'wrong-codec', 'wrong-worker'].map((how) => `tamper ${how}`),
  ...['duplicate', 'corrupt', 'truncated', 'misshapen'].map((how) => `tamper-down ${how}`),
  ...['poison', 'cancel', 'server-clock-jump', 'disk-full log', 'disk-full checkpoint'],
];

export interface ChaosSuite {
  readonly plan: (seed: number) => ChaosPlan;
  readonly seeds: number;
  /** Runs in which each kind of fault did something, at least: the kinds that are drawn often, and the others. */
  readonly fired: { readonly often: number; readonly seldom: number };
  /** `LONGTAIL_CHAOS_SEED`. */
  readonly only: string | undefined;
}

/**
 * Whole jobs in virtual time under random faults, one a seed; after each all that always holds is checked. A seed that fails is
 * in the error, and runs alone with `LONGTAIL_CHAOS_SEED=<seed>`; `<first>-<last>` runs several, each a test of its own.
 */
export function chaosSuite(name: string, { plan, seeds, fired: least, only }: ChaosSuite): void {
  const fired = new Map<string, number>();
  let succeeded = 0;
  const runSeed = async (seed: number): Promise<void> => {
    const { verdict, fired: faults } = await runPlan(plan(seed));
    if (verdict.status === 'succeeded') succeeded++;
    for (const kind of new Set([...faults].map(kindOf))) fired.set(kind, (fired.get(kind) ?? 0) + 1);
  };
  if (only !== undefined) return test.each(seedsOf(only))(`${name}, seed %i`, runSeed, 60_000);

  const firsts = Array.from({ length: Math.ceil(seeds / SEEDS_A_TEST) }, (_, i) => 1 + i * SEEDS_A_TEST);
  test.each(firsts)(
    `${name}: what always holds does, whatever befalls them (seeds from %i)`,
    async (first) => {
      for (let seed = first; seed < first + SEEDS_A_TEST; seed++) await runSeed(seed);
    },
    120_000,
  );
  test(`${name}: faults of every kind fired, and most runs succeeded`, () => {
    const few = [...OFTEN.map((kind) => [kind, least.often] as const), ...SELDOM.map((kind) => [kind, least.seldom] as const)];
    expect(few.flatMap(([kind, count]) => ((fired.get(kind) ?? 0) < count ? [`${kind}: ${fired.get(kind) ?? 0} of ${count}`] : []))).toEqual([]);
    expect(succeeded).toBeGreaterThan(seeds / 2);
  });
}

/** `7`, or `1-2000`. */
function seedsOf(range: string): readonly number[] {
  const [first, last = first] = range.split('-').map(Number);
  return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
}

/** Runs a plan, with whatever else the scenario is to have, and checks all that always holds. */
export async function runPlan(plan: ChaosPlan, more: Partial<Scenario> = {}): Promise<Outcome> {
  let outcome: Outcome | undefined;
  try {
    const [sent, punctuality] = [new SentContributions(), new Punctuality()];
    const scenario = { ...scenarioOf(plan), ...more, ...sent.hooks, watch: (strategy: Parameters<Punctuality['watch']>[0]) => punctuality.watch(strategy) };
    outcome = await simulate(scenario);
    expectInvariants(plan, scenario, outcome);
    expect(sent.firstDifference(scenario, outcome.events)).toBeUndefined();
    if (scenario.job.record !== undefined && outcome.events.some(({ body: { event } }) => event === 'recording')) expect(recordedDifference(scenario, outcome)).toBeUndefined();
    if (!disturbsServer(plan.faults)) expect([...punctuality.late, ...punctuality.delayed(outcome.events)]).toEqual([]);
    return outcome;
  } catch (error) {
    throw new Error(`seed ${plan.seed} (LONGTAIL_CHAOS_SEED=${plan.seed} runs it alone): ${describe(error)}\n${JSON.stringify(plan)}\n${lastOf(outcome)}`, { cause: error });
  }
}

function scenarioOf({ seed, model, job, fleet, faults, heartbeatMs, chunkLength }: ChaosPlan): Scenario {
  const models = job.cluster.layout === undefined ? MODELS.solo : MODELS.pipelines;
  // Only `auto` goes by what links are measured to be.
  const probeBytes = job.sync.strategy === 'auto' ? 2 ** 12 : 0;
  return {
    job: seed % RECORDED_EACH === 0 ? { ...job, record: { maxBytes: Infinity } } : job,
    fleet,
    faults,
    seed,
    heartbeatMs,
    chunkLength,
    probeBytes,
    model: models[model],
    ...(model === 'counts' ? { arithmetic: countingArithmetic } : {}),
  };
}

/** What is counted of a fault. */
function kindOf(fault: Fault): string {
  return 'how' in fault ? `${fault.kind} ${fault.how}` : 'what' in fault ? `${fault.kind} ${fault.what}` : fault.kind;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function lastOf(outcome: Outcome | undefined): string {
  const last = outcome?.events.slice(-12) ?? [];
  return last.map(({ timeMs, body }) => `${timeMs.toFixed(1)} ${JSON.stringify(body)}`).join('\n');
}
