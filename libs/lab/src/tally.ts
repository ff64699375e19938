import type { BenchLossPoint, RunEvent, StoredEvent } from '@longtail/core';
import { CriticalPath } from './critical-path.js';
import type { Measured } from './evaluation.js';

/** Training losses that are kept of a run, at most twice as many. */
const TRAINING_POINTS = 200;

/** That differ between rounds in which the same happens. */
const ROUND_FIGURES = / of (round )?\d+( ms)?/g;

interface CommitPoint {
  readonly atMs: number;
  readonly samples: number;
  readonly loss: number;
  readonly bytes: number;
}

/** Adds up what a run tells, event by event, in the room of a few hundred commits however long it is. */
export class Tally {
  startMs = 0;
  endMs = 0;
  rounds = 0;
  /** Of commits. */
  samples = 0;
  /** Samples that somebody had begun, and that came to nothing. */
  lostSamples = 0;
  readonly path = new CriticalPath();
  /** Those that came to nothing by why, but for the numbers in it. */
  private readonly lostBy = new Map<string, number>();
  private accepted = 0;
  /** The last contribution was accepted: what is returned of its lease was never begun. */
  private settled = false;
  private staleness = 0;
  private stagesComputeMs = 0;
  private stagesElapsedMs = 0;
  private bytes = 0;
  private points: CommitPoint[] = [];
  private each = 1;

  /** `moved`: bytes up and down until now, by the whole fleet. @default those of the contributions */
  hear({ timeMs, body }: StoredEvent, moved = () => this.bytes): void {
    switch (body.event) {
      case 'started':
        this.startMs = this.endMs = timeMs;
        return;
      case 'contribution':
        return this.contribution(body);
      case 'commit':
        return this.commit(timeMs, body, moved);
      case 'samples_lost':
        return this.lose(body);
      case 'lease_returned':
        if (!this.settled) this.lose(body);
    }
  }

  /** Why most of what came to nothing did; undefined where nothing did. */
  get lostMostlyBy(): string | undefined {
    let most: readonly [reason: string, samples: number] | undefined;
    for (const one of this.lostBy) if (most === undefined || one[1] > most[1]) most = one;
    return most?.[0];
  }

  /** Versions, over contributions. */
  get meanStaleness(): number {
    return this.staleness / (this.accepted || 1);
  }

  /** Of the time of stages, the part that they wait; undefined without pipelines. */
  get bubble(): number | undefined {
    return this.stagesElapsedMs === 0 ? undefined : 1 - this.stagesComputeMs / this.stagesElapsedMs;
  }

  /** Training losses and those that were measured beside, by the time since training began. */
  curve(validation: readonly Measured[]): readonly BenchLossPoint[] {
    const points = [
      ...this.points.map((point) => ({ ...point, kind: 'training' as const })),
      ...validation.map((point) => ({ ...point, kind: 'validation' as const, bytes: this.bytesAt(point.atMs) })),
    ];
    return points.sort((a, b) => a.atMs - b.atMs).map(({ atMs, ...point }) => ({ ...point, timeMs: atMs - this.startMs }));
  }

  private lose({ samples, reason }: Extract<RunEvent, { readonly event: 'samples_lost' | 'lease_returned' }>): void {
    const why = reason.replace(ROUND_FIGURES, '');
    this.lostSamples += samples;
    this.lostBy.set(why, (this.lostBy.get(why) ?? 0) + samples);
  }

  private contribution(body: Extract<RunEvent, { readonly event: 'contribution' }>): void {
    const { stage, computeMs, elapsedMs, accepted, staleness, bytesUp, bytesDown } = body;
    this.bytes += bytesUp + bytesDown;
    if (stage !== undefined && stage.stages > 1 && elapsedMs > 0) {
      this.stagesComputeMs += computeMs;
      this.stagesElapsedMs += elapsedMs;
    }
    this.settled = accepted;
    if (!accepted) return;
    this.accepted++;
    this.staleness += staleness;
    this.path.add(body);
  }

  private commit(atMs: number, { samples, samplesApplied, loss }: Extract<RunEvent, { readonly event: 'commit' }>, moved: () => number): void {
    this.endMs = atMs;
    this.rounds++;
    this.samples += samples;
    if (samples === 0 || !Number.isFinite(loss) || this.rounds % this.each !== 0) return;
    this.points.push({ atMs, samples: samplesApplied, loss, bytes: moved() });
    if (this.points.length < 2 * TRAINING_POINTS) return;
    this.points = this.points.filter((_, i) => i % 2 === 1);
    this.each *= 2;
  }

  private bytesAt(atMs: number): number {
    return this.points.findLast((point) => point.atMs <= atMs)?.bytes ?? 0;
  }
}
