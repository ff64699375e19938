import type { BenchArm, BenchMode, BenchResult, EngineName } from '@longtail/core';
import type { BenchScenario } from '@longtail/spec';
import type { KeptArms } from './kept-arms.js';
import { described, type ArmTask, type TellPart } from './run-arm.js';
import { settingsOf, type Sweep } from './sweep.js';
import { winnerOf } from './winner.js';
import { Workbench } from './workbench.js';

export interface BenchOptions {
  readonly mode: BenchMode;
  /** What a task takes this machine beside what is described, where virtual time is to be that of a live run. */
  readonly taskMs?: number | undefined;
  readonly engine: EngineName;
  /** Server whose nodes run the arms live. @default processes of this machine */
  readonly server?: string | undefined;
  readonly sweep?: Sweep | undefined;
  /** Text of trace files by their paths. */
  readonly traces: Readonly<Record<string, string>>;
  /** Undefined: nothing is kept. */
  readonly kept?: KeptArms | undefined;
  /** Told what is to be run, but for what was kept. */
  begin?(tasks: readonly ArmTask[]): Promise<void>;
  /** As many at once as it likes. */
  run(task: ArmTask, tell: TellPart): Promise<BenchArm>;
  readonly progress?: ArmProgress;
}

export interface ArmProgress {
  /** After each arm; those that were kept come first. */
  done(done: number, total: number, arm: BenchArm, kept: boolean): void;
  /** How much of those under way is done, in arms. */
  underWay(parts: number, total: number): void;
}

/** Runs every arm with every seed at every value of the knob. The result is the same whoever runs them, and in whatever order. */
export async function runBench(scenario: BenchScenario, options: BenchOptions): Promise<BenchResult> {
  const { mode, sweep, engine, server } = options;
  const tasks = tasksOf(scenario, options);
  const workbench = new Workbench(engine);
  const arms: BenchArm[] = [];
  const parts = tasks.map(() => 0);
  let done = 0;
  const finished = (at: number, arm: BenchArm, kept: boolean) => {
    arms[at] = arm;
    parts[at] = 0;
    options.progress?.done(++done, tasks.length, arm, kept);
  };
  const left: { readonly task: ArmTask; readonly at: number; readonly dependsOn: unknown }[] = [];
  for (const [at, task] of tasks.entries()) {
    const dependsOn = { engine, task, data: await workbench.dataOf(task.arm.job), server };
    const kept = await options.kept?.find(dependsOn);
    if (kept === undefined) left.push({ task, at, dependsOn });
    else finished(at, kept, true);
  }
  if (left.length > 0) {
    await options.begin?.(left.map(({ task }) => task));
    options.progress?.underWay(0, tasks.length);
  }
  await Promise.all(
    left.map(async ({ task, at, dependsOn }) => {
      const arm = await options.run(task, (part) => {
        parts[at] = part;
        options.progress?.underWay(parts.reduce((sum, one) => sum + one, 0), tasks.length);
      });
      if (arm.outcome.status !== 'failed') await options.kept?.keep(dependsOn, arm);
      finished(at, arm, false);
    }),
  );
  const { name, description } = scenario;
  // Without arithmetic nobody's loss falls: arms are ranked by their samples a second.
  const targetLoss = mode === 'timing' ? undefined : scenario.targetLoss;
  const fleets = [...new Map(tasks.map((task) => [`${task.seed} ${task.knob}`, task])).values()].map(described);
  const { nodes } = fleets[0]!;
  const links = fleets.map((fleet) => fleet.links);
  return { version: 2, scenario: name, description, mode, nodes, links, targetLoss, sweep, arms, winner: winnerOf(arms, targetLoss) };
}

function tasksOf(scenario: BenchScenario, { sweep, traces, mode, taskMs }: BenchOptions): readonly ArmTask[] {
  const settings = sweep === undefined ? [{ at: scenario, knob: undefined }] : settingsOf(scenario, sweep);
  return settings.flatMap(({ at: { arms, seeds, name: _, description: __, ...shared }, knob }) =>
    arms.flatMap((arm) => seeds.map((seed) => ({ scenario: shared, mode, arm, seed, taskMs, knob, traces }))),
  );
}
