import { formatBitRate, formatCount, formatMilliseconds, formatSeconds } from '@longtail/core';
import type { WorkerEvent } from '@longtail/worker';
import type { Colors } from './colors.js';
import { describeModule } from './marks.js';

/** Single tasks are too many to tell: one line for so many of them. */
const TASKS_A_LINE = 100;

/** Tells what a worker does in lines, for the person who lends the machine. */
export class WorkerNarrator {
  /** Samples that this worker computed and the server took. */
  samples = 0;
  private readonly delivered = new Map<number, number>();
  private tasks = 0;
  private taskSamples = 0;
  private computeMs = 0;
  /** What it was told last of why the server is not there. */
  private away: string | undefined;

  constructor(private readonly colors: Colors) {}

  tell(event: WorkerEvent): string[] {
    const line = this.lineFor(event);
    return line === undefined ? [] : [line];
  }

  private lineFor(event: WorkerEvent): string | undefined {
    const { dim, green, red, yellow } = this.colors;
    switch (event.event) {
      case 'joined':
        this.away = undefined;
        return green(`joined ${event.peer} as ${event.node}`);
      case 'link':
        return dim(`sends ${formatBitRate(event.upBitsPerSecond)}, ${formatMilliseconds(event.roundTripMs)} there and back`);
      case 'disconnected':
        return yellow(`disconnected: ${event.reason}`);
      case 'reconnecting':
        return this.whileAway(event.reason);
      case 'profiling':
        return `${event.job}: timing the model's blocks (run ${event.run})`;
      case 'preparing':
        return `${event.job}: building the model and loading the data (run ${event.run}${describeModule(event.module)})`;
      case 'ready':
        return `ready: ${formatCount(event.parameters)} parameters, ${formatCount(event.samplesPerSecond)} samples/s`;
      case 'task':
        return undefined;
      case 'done':
        return this.afterTask(event.task, event.samples, event.computeMs);
      case 'receipt':
        return this.afterReceipt(event.task, event.accepted, event.reason);
      case 'paused':
        return yellow(`paused: ${event.reason}`);
      case 'resumed':
        return green('works again');
      case 'released':
        return `run ${event.run} is over here: ${event.reason}; ${formatCount(this.samples)} samples contributed so far`;
      case 'failed':
        return red(`run ${event.run} failed here: ${event.error.message}`);
    }
  }

  /** It may take days: once for each reason. */
  private whileAway(reason: string): string | undefined {
    if (reason === this.away) return undefined;
    this.away = reason;
    return this.colors.dim(`looking for the server (${reason})`);
  }

  private afterTask(task: number, samples: number, computeMs: number): string | undefined {
    this.delivered.set(task, samples);
    this.tasks++;
    this.taskSamples += samples;
    this.computeMs += computeMs;
    if (this.tasks < TASKS_A_LINE) return undefined;
    const line = `${this.tasks} tasks, ${formatCount(this.taskSamples)} samples in ${formatSeconds(this.computeMs / 1000)} of computing; ${formatCount(this.samples)} contributed so far`;
    this.tasks = this.taskSamples = this.computeMs = 0;
    return this.colors.dim(line);
  }

  private afterReceipt(task: number, accepted: boolean, reason: string): string | undefined {
    const samples = this.delivered.get(task) ?? 0;
    this.delivered.delete(task);
    if (accepted) this.samples += samples;
    return accepted ? undefined : this.colors.yellow(`${formatCount(samples)} samples were not accepted: ${reason}`);
  }
}
