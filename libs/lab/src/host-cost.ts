import type { BenchArm, EngineName } from '@longtail/core';
import { withOverrides, type BenchScenario, type JobDocument } from '@longtail/spec';
import type { KeptArms } from './kept-arms.js';
import type { ArmTask } from './run-arm.js';

/** That are measured; a fifth of a second each. */
const ROUNDS = 60;
/** Of each of two devices, a second. */
const PASSES = 6;

/**
 * What is run in both modes to find what a task takes this machine beside what is emulated: plain rounds of the scenario's model on two
 * equal devices with fast links. No arm of the scenario is like that.
 */
export function hostCostTask({ arms, ...scenario }: Pick<BenchScenario, 'arms'> & ArmTask['scenario']): Omit<ArmTask, 'mode'> {
  const [first] = arms;
  const document = first!.job;
  const batch = document.train?.batch ?? 64;
  const job = withOverrides(document, { sync: { strategy: 'bsp', codec: 'fp32' }, 'train.maxSamples': ROUNDS * batch }) as JobDocument;
  const machine = { name: 'this machine', samplesPerSecond: (PASSES * batch) / 2, overhead: 0, jitter: 0, count: 2, link: { class: 'fibre' as const } };
  const fleet = { ...scenario.fleet, server: undefined, matrix: undefined, machines: [{ ...scenario.fleet.machines[0]!, ...NOTHING_ELSE, ...machine }] };
  return { scenario: { ...scenario, standsFor: undefined, targetLoss: undefined, fleet }, arm: { name: 'what a task takes this machine itself', settings: {}, planner: 'planned', job }, seed: 1, traces: {} };
}

const NOTHING_ELSE = { gpu: undefined, site: undefined, region: undefined, lan: undefined, churn: undefined, joins: undefined, throttling: undefined, memory: undefined } as const;

export interface HostCostBench {
  readonly engine: EngineName;
  /** Where it was measured before it is not measured again. */
  readonly kept?: KeptArms | undefined;
  live(task: ArmTask): Promise<BenchArm>;
  virtual(task: ArmTask): Promise<BenchArm>;
}

/** What a task takes this machine beside what is emulated; undefined where that could not be measured. */
export async function measureHostCost(scenario: Parameters<typeof hostCostTask>[0], { engine, kept, live, virtual }: HostCostBench): Promise<number | undefined> {
  const task = hostCostTask(scenario);
  const dependsOn = { engine, hostCost: task };
  let measured = await kept?.find(dependsOn);
  if (measured === undefined) {
    measured = await live({ ...task, mode: 'live' });
    if (measured.outcome.status === 'done') await kept?.keep(dependsOn, measured);
  }
  return hostCostOf(measured, await virtual({ ...task, mode: 'virtual' }));
}

/** By which a task takes longer live than it was predicted to; undefined where one of the two did not run. */
export function hostCostOf(live: BenchArm, predicted: BenchArm): number | undefined {
  if (live.outcome.status !== 'done' || predicted.outcome.status !== 'done') return undefined;
  const roundMs = ({ wallMs, rounds }: { readonly wallMs: number; readonly rounds: number }) => wallMs / rounds;
  return Math.max(0, roundMs(live.outcome.summary) - roundMs(predicted.outcome.summary));
}
