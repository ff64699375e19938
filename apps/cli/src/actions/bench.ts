import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EXIT_CODES, formatCount, formatMilliseconds, formatSeconds, LongtailError, type BenchArm, type BenchMode, type BenchResult, type EngineName } from '@longtail/core';
import { ArmPool, arithmeticOf, KeptArms, liveRefusal, measureHostCost, parseSweep, programHash, runBench, tracesOf, Workbench, type ArmTask, type BenchOptions as LabOptions, type HostCostBench, type Machine } from '@longtail/lab';
import { parseScenarioFile, type BenchScenario, type Overrides } from '@longtail/spec';
import { makeFolder, writeFileAtomic } from '@longtail/store';
import { ask, type ServerChoice } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { runLiveArm } from '../process/live-arm.js';
import type { Output } from '../terminal/output.js';
import { readTextFile } from '../terminal/read-job-file.js';
import { benchLines } from '../view/bench.js';
import { benchProgress, type BenchProgress } from '../view/bench-progress.js';
import { saveBenchReport } from './bench-report.js';

interface BenchOptions {
  readonly mode: BenchMode | 'both';
  readonly engine: EngineName;
  readonly sweep?: string;
  readonly set: Overrides;
  readonly out?: string;
  readonly jobs?: number;
  readonly fresh?: boolean;
  /** Whose nodes live arms run on. Undefined: processes of this machine. */
  readonly server?: string;
  readonly token?: string;
}

export async function bench(output: Output, options: BenchOptions, file: string): Promise<number> {
  const { mode, engine, server, token, jobs = availableParallelism() } = options;
  if (server !== undefined && mode !== 'live' && mode !== 'both') throw new LongtailError(`--server is for --mode live and both: ${mode} time needs no nodes`, { code: 'usage' });
  const sweep = options.sweep === undefined ? undefined : parseSweep(options.sweep);
  const scenario = parseScenarioFile(await readTextFile(file, 'scenario', 'Scenarios to start from are in examples/scenarios/.'), file, {
    resolve: (path, from) => resolve(dirname(from), path),
    read,
    overrides: options.set,
  });
  const traces = tracesOf(scenario.fleet, read);
  const folder = options.out ?? join('bench', `${scenario.name}-${mode}`);
  const armsFolder = join(folder, 'arms');
  await makeFolder('keep results', armsFolder);
  const pool = new ArmPool(jobs, engine, mode, scenario.fleet.machines.reduce((sum, { count }) => sum + count, 0));
  const progress = benchProgress(output);
  const interruption = new Interruption(() => pool.close());
  try {
    const kept = new KeptArms(armsFolder, programHash(), options.fresh);
    const shared = { engine, sweep, kept, traces };
    const result =
      mode === 'live' || mode === 'both'
        ? await benchLive(scenario, { ...shared, joined: server === undefined ? undefined : { server, ...(token !== undefined && { token }) }, predict: mode === 'both', pool, folder, progress, signal: interruption.signal }, output)
        : await benchVirtual(scenario, { ...shared, mode, pool, progress }, output);
    progress.end();
    await writeFileAtomic(join(folder, 'result.json'), `${JSON.stringify(result, undefined, 1)}\n`, 'write the result');
    return conclude(output, result, folder, await saveBenchReport(result, folder));
  } catch (error) {
    if (LongtailError.from(error).code === 'cancelled') output.note(`what is done is kept in ${folder}: the same command goes on from there`);
    throw error;
  } finally {
    progress.end();
    interruption.restore();
    pool.close();
  }
}

/** From so long on it is said beforehand. */
const LONG_SECONDS = 60;
const DAY_SECONDS = 86_400;

interface VirtualBench extends Omit<LabOptions, 'begin' | 'run' | 'progress'> {
  readonly pool: ArmPool;
  readonly progress: BenchProgress;
}

function benchVirtual(scenario: BenchScenario, { pool, progress, ...shared }: VirtualBench, output: Output): Promise<BenchResult> {
  const sayArithmetic = async (tasks: readonly ArmTask[]): Promise<void> => {
    const { runs, flops } = await arithmeticOf(tasks, new Workbench(shared.engine));
    const gflops = await pool.gflops();
    const seconds = flops / gflops / 1e9;
    output.event({ event: 'arithmetic', runs, flops, gflops, seconds });
    if (seconds > LONG_SECONDS) output.note(`the arithmetic of ${runs} runs takes a core of this machine some ${seconds > 2 * DAY_SECONDS ? `${formatCount(Math.round(seconds / DAY_SECONDS))} days` : formatSeconds(seconds)}, with ${shared.engine} at ${gflops.toPrecision(2)} GFLOP/s; --mode timing leaves it out`);
  };
  return runBench(scenario, { ...shared, ...(shared.mode === 'virtual' && { begin: sayArithmetic }), progress: progress.arms(), run: pool.run });
}

interface LiveBench extends Omit<LabOptions, 'mode' | 'begin' | 'run' | 'progress'> {
  readonly joined: ServerChoice | undefined;
  /** Say before what virtual time makes of it. */
  readonly predict: boolean;
  readonly pool: ArmPool;
  readonly folder: string;
  readonly progress: BenchProgress;
  readonly signal: AbortSignal;
}

/** Arms one after the other, so that none disturbs another one's time. */
async function benchLive(scenario: BenchScenario, { joined, predict, pool, folder, progress, signal, ...shared }: LiveBench, output: Output): Promise<BenchResult> {
  let device: ReturnType<Machine['device']> | undefined;
  const measure = () => {
    progress.doing('measuring how fast this machine computes a batch');
    return pool.measure(scenario.arms[0]!.job);
  };
  const machine = { cores: availableParallelism(), device: () => (device ??= measure()) };
  const context = { engine: shared.engine, machine, workbench: new Workbench(shared.engine), runsFolder: resolve(folder, 'runs'), joined, signal };
  let line: Promise<unknown> = Promise.resolve();
  const run = (task: ArmTask): Promise<BenchArm> => {
    const turn = line.then(() => {
      signal.throwIfAborted();
      return runLiveArm(task, { ...context, doing: progress.doing }, output);
    });
    line = turn;
    return turn;
  };
  // A server that is away, or lets nobody in, ends the bench before an arm runs.
  const begin = joined && (() => ask(joined, async () => undefined));
  const isPossible = joined !== undefined || scenario.arms.some((arm) => liveRefusal(scenario, arm, machine.cores) === undefined);
  const predicted = predict && isPossible ? await predictedArms(scenario, { ...shared, begin, pool, progress }, joined === undefined ? run : undefined, output) : undefined;
  const live = await runBench(scenario, { ...shared, begin, server: joined?.server, mode: 'live', progress: progress.arms(), run });
  return { ...live, ...(predicted && { predicted }) };
}

type Predicting = Omit<LiveBench, 'joined' | 'predict' | 'folder' | 'signal'> & Pick<LabOptions, 'begin'>;

/** What virtual time makes of it; where this machine runs it live, with what a task takes it beside what is described. */
async function predictedArms(scenario: BenchScenario, { pool, progress, ...shared }: Predicting, live: HostCostBench['live'] | undefined, output: Output): Promise<readonly BenchArm[]> {
  const taskMs = live && (await hostCost(scenario, { ...shared, live, virtual: pool.run }, output));
  return (await runBench(scenario, { ...shared, mode: 'virtual', taskMs, progress: progress.arms(' in virtual time'), run: pool.run })).arms;
}

/** Found on rounds that no arm has. */
async function hostCost(scenario: BenchScenario, options: HostCostBench, output: Output): Promise<number | undefined> {
  const taskMs = await measureHostCost(scenario, options);
  output.event({ event: 'host-cost', taskMs });
  output.note(taskMs === undefined ? 'what a task takes this machine itself could not be measured' : `a task takes this machine itself ${formatMilliseconds(taskMs)}`);
  return taskMs;
}

function conclude(output: Output, result: BenchResult, folder: string, report: string): number {
  output.event({ event: 'bench', ...result, folder, report });
  if (!output.json) benchLines(result, report, output.colors).forEach((line) => output.line(line));
  const ran = result.arms.some(({ outcome }: BenchArm) => outcome.status === 'done');
  return ran ? 0 : EXIT_CODES['no-plan'];
}

/** Of a job, or of a trace. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new LongtailError(`The file ${path} cannot be read: ${(error as Error).message}`, { code: 'missing-file', where: path, hint: 'The scenario names it; its path counts from the folder of the file that it stands in.', cause: error });
  }
}
