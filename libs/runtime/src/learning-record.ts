import type { LeaseBook, RunEvent, Verdict } from '@longtail/core';

/** Sums over the samples of a commit. */
export interface CommitSums {
  /** Of the contributions; undefined: the latest. */
  readonly round?: number;
  readonly samples: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly targets: number;
  readonly learningRate: number;
  readonly stepScale?: number;
  readonly gradientNorm: number;
  readonly reason: string;
  /** Undefined: of all parameters. */
  readonly fragments?: readonly number[] | undefined;
  /** Of the only worker, whose parameters became the version. */
  readonly soloSteps?: number;
  /** Where the run is recorded. */
  readonly checksums?: readonly number[] | undefined;
}

/** Where in a run a commit stands. */
export interface CommitPlace {
  readonly run: string;
  readonly round: number;
  readonly version: number;
  readonly batch: number;
  readonly samplesApplied: number;
  readonly samplesPerEpoch: number;
  readonly nowMs: number;
}

/** Weight of one batch in the training loss that the verdict reports. */
const LOSS_SMOOTHING = 0.1;

type Metrics = { -readonly [Name in keyof Verdict['metrics']]: Verdict['metrics'][Name] };

/** What a run has learnt so far, in figures, and when it is to be looked at next. */
export class LearningRecord {
  readonly metrics: Metrics = { validation_loss: null, validation_accuracy: null, train_loss: null };
  /** Samples applied at which the next validation is due. */
  validationDueAt = Infinity;
  /** Version last validated. */
  validatedVersion = -1;
  /** Commits in a row that non-finite contributions went before, and the nodes that these came from. */
  readonly nonFinite = { commits: 0, nodes: new Set<string>() };
  /** Done by the only worker since the last commit, for people who watch. */
  private localSamples = 0;
  private lastCommitMs = 0;

  begin(nowMs: number): void {
    this.lastCommitMs = nowMs;
  }

  /** Local steps went on: sums over those done so far. */
  progress({ samples, targets, lossSum }: { readonly samples: number; readonly targets: number; readonly lossSum: number }): void {
    this.localSamples = samples;
    if (targets > 0) this.metrics.train_loss ??= lossSum / targets;
  }

  /** Of all samples, the fraction done; local steps count as they are reported. */
  fraction(leases: LeaseBook): number {
    const { applied, lost, total } = leases.totals();
    return Math.min(1, (applied + lost + this.localSamples) / total);
  }

  /** Takes a commit down, and says how the event log puts it. */
  commit(sums: CommitSums, at: CommitPlace): RunEvent {
    const { samples, lossSum, correct, targets, learningRate, stepScale = 1, gradientNorm, reason, fragments, soloSteps, checksums, round } = sums;
    const roundMs = at.nowMs - this.lastCommitMs;
    const before = this.metrics.train_loss;
    const loss = targets === 0 ? (before ?? 0) : lossSum / targets;
    const weight = 1 - (1 - LOSS_SMOOTHING) ** (samples / at.batch);
    this.metrics.train_loss = before === null ? loss : before + weight * (loss - before);
    this.lastCommitMs = at.nowMs;
    this.localSamples = 0;
    return {
      event: 'commit',
      run: at.run,
      round: round ?? at.round,
      version: at.version,
      samples,
      samplesApplied: at.samplesApplied,
      epoch: at.samplesApplied / at.samplesPerEpoch,
      loss,
      accuracy: targets === 0 ? 0 : correct / targets,
      learningRate,
      ...(stepScale === 1 ? {} : { stepScale }),
      gradientNorm,
      roundMs,
      samplesPerSecond: (1000 * samples) / Math.max(roundMs, 1e-3),
      reason,
      ...(fragments === undefined ? {} : { fragments }),
      ...(soloSteps === undefined ? {} : { soloSteps }),
      ...(checksums === undefined ? {} : { checksums }),
    };
  }

  /** Sets the next multiple of `periodSamples` that lies ahead. */
  planValidation(periodSamples: number, applied: number): void {
    this.validationDueAt = (Math.floor(applied / periodSamples) + 1) * periodSamples;
  }
}
