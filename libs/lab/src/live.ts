import { LongtailError, stepBatchOf, type BenchOutcome, type DeviceSpeed, type StoredEvent } from '@longtail/core';
import { withOverrides, type JobDocument, type LinkRates, type ScenarioArm, type ScenarioMachine } from '@longtail/spec';
import { accountOfEvents } from './event-account.js';
import { bottleneckOf } from './bottleneck.js';
import type { Measured } from './evaluation.js';
import { figuresOf } from './figures.js';
import type { DeviceLine } from './measure-device.js';
import { chunkLengthOf, drawnFor, likeness, seeded, type ArmTask } from './run-arm.js';
import { parametersOf } from './stands-for.js';
import { Tally } from './tally.js';
import type { OpenedJob, Workbench } from './workbench.js';

/** What to start for an arm on this machine. */
export interface LivePlan {
  /** Values on the wire that one stands for: it takes a link as long, and bytes are told as so many. */
  readonly standsFor: number;
  /** Values that a chunk has. */
  readonly chunkLength: number;
  readonly job: JobDocument;
  readonly workers: readonly { readonly name: string; readonly emulated: DeviceSpeed; readonly memoryBytes: number; readonly link: LinkRates }[];
}

/** What live runs share. */
export interface Machine {
  readonly cores: number;
  /** Measures it when it is asked first. */
  device(): Promise<DeviceLine>;
}

/** Of all cores, what devices may take: the server and the links need some too. */
const MOST_OF_CORES = 0.6;

/** Workers that a core can be shared by: each is a process, with a link to emulate, however slow its device is. */
const MOST_WORKERS_A_CORE = 32;

/** Of what emulation does not have, a live run says so rather than leave it out. */
const NOT_LIVE = {
  churn: ({ churn }) => churn !== undefined,
  joins: ({ joins }) => joins !== undefined,
  throttling: ({ throttling }) => throttling !== undefined,
  site: ({ site }) => site !== undefined,
  region: ({ region }) => region !== undefined,
  lan: ({ lan }) => lan !== undefined,
  'link.loss': ({ link: { loss } }) => loss !== undefined && loss > 0,
  'link.slowStart': ({ link: { slowStart } }) => slowStart === true,
} as const satisfies Readonly<Record<string, (machine: ScenarioMachine) => boolean>>;

/** Why a machine of so many cores, however fast, cannot run the arm live; undefined: it may. */
export function liveRefusal({ fleet }: Pick<ArmTask['scenario'], 'fleet'>, arm: ScenarioArm, cores: number): string | undefined {
  const refusal = arm.refusal ?? plannerRefusal(arm);
  if (refusal !== undefined) return refusal;
  const what = Object.entries(NOT_LIVE).find(([, has]) => fleet.machines.some(has));
  if (what !== undefined) return `machines with ${what[0]} cannot be emulated here: take --mode virtual`;
  const workers = fleet.machines.reduce((sum, { count }) => sum + count, 0);
  if (workers > MOST_WORKERS_A_CORE * cores) return `${workers} machines are as many processes, and the ${cores} cores of this one run ${MOST_WORKERS_A_CORE * cores} beside each other: take --mode virtual or timing`;
  return undefined;
}

function plannerRefusal({ planner }: ScenarioArm): string | undefined {
  return planner === 'planned' ? undefined : `a live server lays jobs out by itself: planner ${planner} is for --mode virtual`;
}

/**
 * An arm as processes of this machine whose devices and links are emulated. Throws LongtailError `no-plan` where the
 * machine is not as fast as the scenario wants, or cannot do what it describes. The device is measured once that is known to be possible at all.
 */
export async function planLive(task: ArmTask, { cores, device: measured }: Machine, workbench: Workbench): Promise<LivePlan> {
  const { scenario, arm, seed } = task;
  const refusal = liveRefusal(scenario, arm, cores);
  if (refusal !== undefined) throw new LongtailError(refusal, { code: 'no-plan' });
  const device = await measured();
  const opened = await workbench.open(seeded(arm, seed));
  const like = likeness(task, opened);
  const { machines } = drawnFor(task, like.flops * opened.flopsPerSample);
  const workers = machines.map(({ bench: { name }, link, worker, device: { memoryBytes } }) => ({
    name,
    memoryBytes,
    emulated: { samplesPerSecond: worker!.samplesPerSecond, overheadMs: worker!.overheadMs!, jitter: worker!.jitter! },
    link,
  }));
  const busy = workers.reduce((sum, { emulated }) => sum + partOf(device, emulated, stepBatchOf(opened.job)), 0);
  if (busy > MOST_OF_CORES * cores) {
    throw new LongtailError(`its devices together take ${busy.toPrecision(2)} cores of this machine, which has ${cores}: more than ${100 * MOST_OF_CORES} % of that, and they would wait for each other`, { code: 'no-plan', hint: 'Make the machines slower, or take fewer.' });
  }
  const parameters = parametersOf(opened.profile);
  return { standsFor: like.parameters, chunkLength: chunkLengthOf(parameters, like.parameters * parameters, 'live'), job: liveJob(task, opened, machines.length), workers };
}

/** An arm as a job for nodes that have joined a server, which are the scenario's machines by their names. Throws LongtailError `no-plan` where they are not. */
export async function planJoined(task: ArmTask, joined: readonly string[], workbench: Workbench): Promise<JobDocument> {
  const { scenario, arm, seed } = task;
  const names = drawnFor(task, 1).machines.map(({ bench }) => bench.name);
  const refusal = arm.refusal ?? plannerRefusal(arm) ?? (scenario.standsFor && 'nodes that joined have the links that they have: a model that stands for a larger one is for --mode virtual') ?? differenceOf(names, joined);
  if (refusal !== undefined) throw new LongtailError(refusal, { code: 'no-plan' });
  return liveJob(task, await workbench.open(seeded(arm, seed)), names.length);
}

function differenceOf(described: readonly string[], joined: readonly string[]): string | undefined {
  const missing = described.filter((name) => !joined.includes(name));
  if (missing.length > 0) return `no node called ${missing.join(', ')} has joined (there are: ${[...joined].sort().join(', ') || 'none'})`;
  const others = joined.filter((name, i) => !described.includes(name) || joined.indexOf(name) < i);
  return others.length === 0 ? undefined : `nodes that are no machines of the scenario have joined too, and would compute with them: ${[...others].sort().join(', ')}`;
}

/** Validates at the end alone, and waits for everybody. */
function liveJob({ scenario, arm, seed }: ArmTask, { job }: OpenedJob, workers: number): JobDocument {
  const overrides = {
    'train.seed': seed,
    'cluster.minWorkers': workers,
    'validation.everyEpochs': job.train.epochs,
    'validation.maxSamples': scenario.evaluation.samples,
  };
  return withOverrides(arm.job, overrides) as JobDocument;
}

/** What the events of a live run come to. */
export function liveOutcome({ scenario, ...task }: ArmTask, ran: readonly StoredEvent[], standsFor = 1): BenchOutcome {
  const events = ran.map((event) => grownBytes(event, standsFor));
  const fleet = drawnFor({ scenario, ...task }, 1);
  const nodes = fleet.machines.map(({ bench }) => bench);
  const tally = new Tally();
  const validation: Measured[] = [];
  for (const event of events) {
    tally.hear(event);
    const { timeMs, body } = event;
    if (body.event === 'validation') validation.push({ atMs: timeMs, samples: tally.samples, loss: body.loss });
  }
  const account = accountOfEvents(events, nodes.map(({ name }) => name), tally);
  const figures = figuresOf({ tally, account, nodes, loss: tally.curve(validation), targetLoss: scenario.targetLoss, prices: scenario.prices });
  return { ...figures, bottleneck: bottleneckOf(figures, fleet, tally) };
}

/** Bytes as they would be of the model that is stood for. */
function grownBytes(event: StoredEvent, by: number): StoredEvent {
  const { body } = event;
  if (body.event === 'contribution') return { ...event, body: { ...body, bytesUp: by * body.bytesUp, bytesDown: by * body.bytesDown } };
  if (body.event !== 'verdict') return event;
  const { up, down, direct } = body.bytes;
  return { ...event, body: { ...body, bytes: { up: by * up, down: by * down, direct: by * direct } } };
}

/** Of a core, that a device takes which is emulated. */
function partOf({ overheadMs, msPerSample }: DeviceLine, emulated: DeviceSpeed, batch: number): number {
  return (overheadMs + batch * msPerSample) / (emulated.overheadMs + (1000 * batch) / emulated.samplesPerSecond);
}
