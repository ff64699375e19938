import type { RunEvent, StoredEvent } from '@longtail/core';
import { formatBytes, formatCount, formatMilliseconds, formatSeconds, moduleOf } from '@longtail/core';
import type { Colors } from './colors.js';
import { describeModule, largestPass, percent, showLoss } from './marks.js';
import type { RunProgress } from './progress.js';
import { fractionDone, profilingLine, secondsLeft, showFragments } from './progress.js';

/** A line of numbers at most this often; what matters more is said at once. */
const LINE_EVERY_MS = 2000;
const STEPS_LINE_EVERY_MS = 30_000;

/** Tells a run in lines: for pipes, logs and terminals that cannot redraw. */
export class PlainNarrator {
  private lastLineMs = -Infinity;
  private lastProfilingMs = -Infinity;
  private lastStepsMs = -Infinity;
  private lastWaiting = '';
  private readonly returned = new Map<string, number>();

  constructor(
    private readonly colors: Colors,
    private readonly lineEveryMs = LINE_EVERY_MS,
  ) {}

  /** Lines for `stored`; `progress` is the run's after it. */
  tell(stored: StoredEvent, progress: RunProgress): string[] {
    const line = this.lineFor(stored.body, stored.timeMs, progress);
    return line === undefined ? [] : [line];
  }

  private lineFor(event: RunEvent, timeMs: number, progress: RunProgress): string | undefined {
    const { green, red, yellow } = this.colors;
    switch (event.event) {
      case 'submitted':
        return `${event.job.name}: run ${event.run}${describeModule(moduleOf(event.job))}`;
      case 'resumed':
        return yellow(resumedLine(event));
      case 'standby':
        return event.state === 'in step' ? `standby ${event.address}: ${event.reason}` : yellow(`standby ${event.address}: ${event.reason}`);
      case 'taken_over':
        return yellow(takenOverLine(event));
      case 'forked':
        return `goes on from version ${event.from.version} of run ${event.from.run}, after ${formatCount(event.samplesApplied)} samples`;
      case 'waiting':
        return this.waitingLine(event);
      case 'worker_ready':
        return `${event.name} is ready: ${event.engine}, ${formatCount(event.samplesPerSecond)} samples/s`;
      case 'profiling':
        return this.profilingLine(timeMs, progress);
      case 'profiled':
        return profiledLine(event);
      case 'planned':
        return `plan: ${formatCount(event.plan.samplesPerSecond)} samples/s, a round of ${formatCount(event.plan.samplesPerRound)} samples ${formatMilliseconds(event.plan.roundMs)}`;
      case 'layout':
        return layoutLine(event);
      case 'sync':
        return `sync: ${event.reason}`;
      case 'replan':
        return this.colors.dim(`${event.moves ? 'groups move' : 'groups stay'}: ${event.reason}`);
      case 'node_left':
        return yellow(`${event.name} left: ${event.reason}`);
      case 'node_paused':
        return yellow(`${event.name} is paused: ${event.reason}`);
      case 'node_resumed':
        return `${event.name} works again`;
      case 'started':
        return `training ${formatCount(event.parameters)} parameters on ${event.workers} ${event.workers === 1 ? 'worker' : 'workers'}, ${formatCount(event.samplesTotal)} samples`;
      case 'shares':
        return event.unit === 'local steps' ? this.stepsLine(event, timeMs, progress) : undefined;
      case 'commit':
        return this.commitLine(timeMs, progress);
      case 'contribution':
        return event.accepted ? undefined : yellow(`${event.name}: contribution of round ${event.round} not accepted: ${event.reason}`);
      case 'lease_returned':
        return this.returnLine(event, progress);
      case 'samples_lost':
        return yellow(`${event.node && `${workerName(progress, event.node)}: `}${event.samples} samples are lost (${event.reason})`);
      case 'validation':
        return green(`validation after ${epochs(event.epoch)}: loss ${showLoss(event.loss)}${accuracy(event.accuracy)}`);
      case 'recording':
        return `recording: about ${formatBytes(event.neededBytes)}, at most ${formatBytes(event.maxBytes)}`;
      case 'recording_stopped':
        return yellow(`the recording ends with version ${event.version}: ${event.reason}`);
      case 'warning':
        return yellow(`warning: ${event.message}${event.hint && ` (${event.hint})`}`);
      case 'error':
        return red(`error${event.node && ` on ${workerName(progress, event.node)}`}: ${event.error.message}${event.error.where && ` (${event.error.where})`}`);
      default:
        return undefined;
    }
  }

  /** How far each of them is changes often; how many there are is what matters. */
  private waitingLine({ have, need, shortfall = '', reason }: Extract<RunEvent, { event: 'waiting' }>): string | undefined {
    const line = `${have} of ${need} workers`;
    if (line + shortfall === this.lastWaiting) return undefined;
    this.lastWaiting = line + shortfall;
    return this.colors[shortfall === '' ? 'dim' : 'yellow'](`waiting: ${line} (${reason})`);
  }

  private profilingLine(timeMs: number, progress: RunProgress): string | undefined {
    if (timeMs - this.lastProfilingMs < this.lineEveryMs) return undefined;
    this.lastProfilingMs = timeMs;
    return this.colors.dim(`${profilingLine(progress)} …`);
  }

  /** Local steps change with measured speeds, by a few from round to round. */
  private stepsLine({ shares, reason }: Extract<RunEvent, { event: 'shares' }>, timeMs: number, progress: RunProgress): string | undefined {
    if (timeMs - this.lastStepsMs < STEPS_LINE_EVERY_MS) return undefined;
    this.lastStepsMs = timeMs;
    const counts = Object.entries(shares).map(([node, count]) => `${workerName(progress, node)} ${count}`);
    return this.colors.dim(`local steps: ${counts.join(', ')} (${reason})`);
  }

  private commitLine(timeMs: number, progress: RunProgress): string | undefined {
    if (timeMs - this.lastLineMs < this.lineEveryMs) return undefined;
    this.lastLineMs = timeMs;
    const left = secondsLeft(progress);
    return [
      percent(fractionDone(progress)).padStart(5),
      `epoch ${progress.epoch.toFixed(2)}`,
      `loss ${showLoss(progress.loss!)}${accuracy(progress.accuracy ?? 0)}`,
      `${formatCount(progress.samplesPerSecond ?? 0)} samples/s`,
      ...(progress.fragments.length === 0 ? [] : [showFragments(progress)]),
      ...(left === undefined ? [] : [`${formatSeconds(left)} left`]),
    ].join('  ');
  }

  /** The first return of a worker is news, the ones after it are not. */
  private returnLine(event: Extract<RunEvent, { event: 'lease_returned' }>, progress: RunProgress): string | undefined {
    const count = (this.returned.get(event.node) ?? 0) + 1;
    this.returned.set(event.node, count);
    if (count > 1) return undefined;
    return this.colors.yellow(`${workerName(progress, event.node)}: ${event.samples} samples go back (${event.reason})`);
  }
}

/** `a: 6 blocks take 41 ms a microbatch of 8 (measured in 0.8 s)`, at the largest size; of a node that has no room for all of them how many there are. */
function profiledLine({ name, blocks, untimed = 0, cached, ms }: Extract<RunEvent, { event: 'profiled' }>): string {
  const whence = cached ? 'known from before' : `measured in ${formatSeconds(ms / 1000)}`;
  const all = new Set(blocks.map(({ block }) => block)).size + untimed;
  if (blocks.length === 0) return `${name}: it has no room for any of the ${all} blocks`;
  const { count, microbatch, ms: took } = largestPass(blocks);
  const [which, room] = count === all ? ['', ''] : [` of ${all}`, ', it has no room for the others'];
  return `${name}: ${count}${which} blocks ${count === 1 ? 'takes' : 'take'} ${formatMilliseconds(took)} a microbatch of ${microbatch}${room} (${whence})`;
}

function takenOverLine({ from, address, version, roundsLost, silentMs, reason }: Extract<RunEvent, { event: 'taken_over' }>): string {
  const lost = roundsLost === 0 ? 'no round lost' : `${roundsLost} ${roundsLost === 1 ? 'round' : 'rounds'} lost`;
  return `${address} has taken over from ${from} after ${formatMilliseconds(silentMs)}, at version ${version}, ${lost}: ${reason}`;
}

/** `resumed at version 12: its server was killed; 3 commits after it are undone, 384 samples are learnt again`. */
function resumedLine({ version, undone: { commits, samples }, reason }: Extract<RunEvent, { event: 'resumed' }>): string {
  const begin = version === 0 ? 'begins anew' : `resumed at version ${version}`;
  const undone = `${commits} ${commits === 1 ? 'commit' : 'commits'} after it ${commits === 1 ? 'is' : 'are'} undone, ${formatCount(samples)} samples are learnt again`;
  return `${begin}: ${reason}${commits === 0 ? '' : `; ${undone}`}`;
}

/** `layout: p1 = a (blocks 0–2) → b + c (blocks 3–5), d alone; 1 spare (as the job lays it out)`. */
function layoutLine({ groups, spares, reason }: Extract<RunEvent, { event: 'layout' }>): string {
  const named = groups.map(({ group, stages }) => (stages.length === 1 ? `${stages[0]!.name} alone` : `${group} = ${pipeline(stages)}`));
  const waiting = spares.length === 0 ? '' : `; ${spares.length} spare`;
  return `layout: ${named.join(', ') || 'nobody yet'}${waiting} (${reason})`;
}

/** Replicas of a stage have the same blocks. */
function pipeline(places: Extract<RunEvent, { event: 'layout' }>['groups'][number]['stages']): string {
  const starts = [...new Set(places.map(({ start }) => start))];
  const stages = starts.map((start) => places.filter((place) => place.start === start));
  return stages
    .map((holders) => `${holders.map(({ name }) => name).join(' + ')} (blocks ${holders[0]!.start}–${holders[0]!.end - 1})`)
    .join(' → ');
}

function workerName(progress: RunProgress, node: string): string {
  return progress.workers.get(node)?.name ?? node;
}

/** Regression has no accuracy: it reports 0. */
function accuracy(value: number): string {
  return value > 0 ? `  accuracy ${percent(value, 2)}` : '';
}

function epochs(count: number): string {
  const text = Number.isInteger(count) ? String(count) : count.toFixed(2);
  return `${text} ${count === 1 ? 'epoch' : 'epochs'}`;
}
