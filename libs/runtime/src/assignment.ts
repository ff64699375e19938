import type { ExchangeTimes, LongtailError, TensorChunk } from '@longtail/core';
import type { Task, TaskDone } from '@longtail/protocol';
import type { ChunkVerdict, Delivery } from './delivery.js';
import type { Member } from './member.js';
import { countSamples } from './microbatches.js';

/**
 * - `out`: the worker is at it
 * - `delivered`: whole and verified, not yet part of a commit
 * - `refused`: what came was worthless
 * - `failed`: the worker says that it could not
 * - `lost`: the worker left
 */
export type AssignmentStatus = 'out' | 'delivered' | 'refused' | 'failed' | 'lost';

/** A worker's part of a task. Messages and chunks only move its status; the phase that gave it out settles it. */
export class Assignment {
  status: AssignmentStatus = 'out';
  /** Why it is refused, failed or lost. */
  reason = '';
  /** Refused or failed because of NaN or infinity: the sign of a run that diverges. */
  nonFinite = false;
  done: TaskDone | undefined;
  doneAtMs: number | undefined;
  /** When the status left `out`. */
  endedAtMs: number | undefined;
  /** When something of it came last. */
  activeAtMs = 0;
  /** When it was given, and what the worker was given before was done. */
  startedAtMs = 0;
  /** For how long the worker had nothing to do before that. */
  private waitedMs = 0;
  /** When the worker began the task after it; undefined before that. */
  followedAtMs: number | undefined;

  constructor(
    readonly member: Member,
    readonly task: Task,
    /** That pass through the worker; of local steps those of all that it was granted. */
    readonly samples: number,
    readonly delivery: Delivery,
    /** Vectors were sent to the worker for it. */
    readonly receives: boolean,
    sentAtMs: number,
  ) {
    this.activeAtMs = this.startedAtMs = sentAtMs;
  }

  start(nowMs: number, waitedMs: number): void {
    this.startedAtMs = this.activeAtMs = nowMs;
    this.waitedMs = waitedMs;
  }

  /** Where the time went beside computing; undefined while it is not done, and for what is not waited for. */
  get exchange(): ExchangeTimes | undefined {
    const { done, doneAtMs, endedAtMs, startedAtMs, followedAtMs, waitedMs } = this;
    if (done === undefined || this.task.kind === 'LOCAL_STEPS') return undefined;
    return {
      receiveMs: Math.max(0, doneAtMs! - startedAtMs - done.elapsedMs),
      encodeMs: done.encodeMs,
      sendMs: Math.max(0, (endedAtMs ?? doneAtMs!) - doneAtMs!),
      hiddenMs: followedAtMs === undefined ? undefined : Math.max(0, (endedAtMs ?? doneAtMs!) - followedAtMs),
      waitMs: waitedMs,
    };
  }

  /** Something of it passed through the server. */
  seen(nowMs: number): void {
    this.activeAtMs = nowMs;
  }

  /** Chunks and `TaskDone` come in any order: they travel on different sockets. */
  takeChunk(chunk: TensorChunk, nowMs: number): ChunkVerdict {
    this.seen(nowMs);
    const verdict = this.delivery.take(chunk);
    if (verdict.verdict === 'refused') {
      this.nonFinite = verdict.nonFinite;
      this.end('refused', verdict.reason, nowMs);
    }
    this.checkWhole(nowMs);
    return verdict;
  }

  takeDone(done: TaskDone, nowMs: number): void {
    this.seen(nowMs);
    this.done = done;
    this.doneAtMs = nowMs;
    const problem = problemOf(done, this);
    this.nonFinite = problem === undefined && !Number.isFinite(done.lossSum);
    if (problem !== undefined) this.end('refused', problem, nowMs);
    else if (this.nonFinite) this.end('refused', 'the loss is not finite', nowMs);
    this.checkWhole(nowMs);
  }

  /** The worker says that it could not. A codec that met a NaN or an infinity is as good as a contribution with one. */
  fail({ code, message }: LongtailError, nowMs: number): void {
    this.nonFinite = code === 'diverged';
    this.end('failed', message, nowMs);
  }

  end(status: AssignmentStatus, reason: string, nowMs: number): void {
    if (this.status !== 'out') return;
    this.status = status;
    this.reason = reason;
    this.endedAtMs = nowMs;
  }

  /** It was to take steps, and took none: there is nothing to send. */
  get idle(): boolean {
    return this.done?.steps === 0 && this.task.steps.length > 0;
  }

  private checkWhole(nowMs: number): void {
    if (this.done === undefined) return;
    if (this.idle || this.delivery.complete) this.end('delivered', '', nowMs);
  }
}

/** What cannot be in a `TaskDone`, or undefined. */
function problemOf(done: TaskDone, { task, samples }: Assignment): string | undefined {
  const expected = expectedSamples(done, task, samples);
  if (expected === undefined) return `${done.steps} steps of ${task.steps.length} granted`;
  return done.samples === expected ? undefined : `${done.samples} samples instead of ${expected}`;
}

function expectedSamples(done: TaskDone, task: Task, samples: number): number | undefined {
  switch (task.kind) {
    case 'GRADIENT':
    case 'EVALUATE':
      return samples;
    case 'LOCAL_STEPS':
    case 'DELTA':
    case 'STREAM':
      if (done.steps > task.steps.length) return undefined;
      return task.steps.slice(0, done.steps).reduce((sum, step) => sum + countSamples(step.ranges), 0);
    case 'INITIALISE':
      return done.samples;
  }
}
