import type { ExpectedSpeed, WorkerTime } from '@longtail/core';
import { fitAffine, fitProportional, median, type AffineTime } from './affine-time.js';

/** Measurements that the estimate is made of. */
const WINDOW = 15;
/** So many in a row that are all slower, or all faster, than expected by this factor are a change … */
const CHANGE_ROUNDS = 3;
const CHANGE_FACTOR = 1.5;
/** A missed deadline at least halves the estimate … */
const MISS_FACTOR = 2;
/** … and each round without a share lifts it a little, so that an estimate that was wrong gets another try. */
const IDLE_FACTOR = 1.05;

export interface Measurement {
  readonly samples: number;
  readonly computeMs: number;
  /** From task to delivery. */
  readonly elapsedMs: number;
  /** Parameters were sent for it. Without them it tells of a part of an exchange only. @default true */
  readonly receives?: boolean;
  /** Of local steps, each of one size: a task of more of them takes as much longer. */
  readonly inSteps?: boolean;
}

/** Of a task that was given up. */
export interface Miss {
  readonly samples: number;
  readonly elapsedMs: number;
  /** Of what is computed, or was not begun as its parameters are on their way; undefined: the device is at it. */
  readonly computeMs: number | undefined;
}

/**
 * What is known of a group's pace: a task of n samples takes `exchangeMs + fixedMs + n · msPerSample`, of which the latter two are
 * computing. On a shared machine single rounds take twice as long; what is far off by itself moves nothing, a change that
 * lasts is followed.
 */
export class Speed implements AffineTime {
  fixedMs = 0;
  msPerSample: number;
  /** Parameters down, gradient up, and waiting; undefined: nobody knows before the first delivery. */
  exchangeMs: number | undefined;
  /** Samples of its latest task; 0 before the first. */
  latestSamples = 0;
  /** Of the latest tasks, the oldest first, side by side: their samples and what computing took. */
  private readonly samples: number[] = [];
  private readonly computeMs: number[] = [];
  private readonly exchanges: number[] = [];

  /** From the speed that the worker measured while it prepared. */
  static measured(samplesPerSecond: number): Speed {
    return new Speed(1000 / samplesPerSecond);
  }

  /** From a plan. It counts as a measurement: first rounds, which pay for connections, do not move the estimate at once. */
  static planned({ msPerSample, exchangeMs }: ExpectedSpeed): Speed {
    const speed = new Speed(msPerSample);
    speed.exchangeMs = exchangeMs;
    speed.exchanges.push(exchangeMs);
    return speed;
  }

  private constructor(msPerSample: number) {
    this.msPerSample = msPerSample;
  }

  delivered({ samples, computeMs, elapsedMs, receives = true, inSteps = false }: Measurement): void {
    const isPlanned = this.latestSamples === 0 && this.exchangeMs !== undefined;
    if (isPlanned) {
      this.forget();
      this.note(samples, computingMs(this, samples));
    }
    this.follow(samples, computeMs, inSteps);
    this.exchanged(Math.max(0, elapsedMs - computeMs), receives);
    this.latestSamples = samples;
  }

  /** Local steps of a worker alone say nothing about the exchange: it overlaps with the next ones. */
  stepped(samples: number, computeMs: number): void {
    this.follow(samples, computeMs, true);
  }

  /** What was measured before the miss is forgotten, of the link where the device is not at it, else of the device: it is not what it was. */
  missed({ samples, elapsedMs, computeMs }: Miss): void {
    this.latestSamples = samples;
    if (computeMs !== undefined) return this.exchangeMissed(elapsedMs - computeMs);
    this.msPerSample = Math.max((MISS_FACTOR * computingMs(this, samples)) / samples, elapsedMs / samples);
    this.fixedMs = 0;
    this.forget();
  }

  /** It takes that long at least. */
  private exchangeMissed(ms: number): void {
    this.exchanges.length = 0;
    this.exchanged(Math.max(ms, this.exchangeMs ?? 0), true);
  }

  /** A part of an exchange is all that is known before there was a whole one. */
  private exchanged(ms: number, whole: boolean): void {
    const { exchanges } = this;
    if (whole) {
      keep(exchanges, ms);
      this.exchangeMs = median(exchanges);
    } else if (exchanges.length === 0) this.exchangeMs = ms;
  }

  /** A round without a share. */
  idled(): void {
    this.fixedMs /= IDLE_FACTOR;
    this.msPerSample /= IDLE_FACTOR;
    if (this.exchangeMs !== undefined) this.exchangeMs /= IDLE_FACTOR;
  }

  private note(samples: number, computeMs: number): void {
    keep(this.samples, samples);
    keep(this.computeMs, computeMs);
  }

  private forget(): void {
    this.samples.length = 0;
    this.computeMs.length = 0;
  }

  private follow(samples: number, computeMs: number, inSteps: boolean): void {
    this.note(samples, computeMs);
    this.adapt();
    const { fixedMs, msPerSample } = (inSteps ? fitProportional : fitAffine)(this.samples, this.computeMs);
    this.fixedMs = fixedMs;
    this.msPerSample = msPerSample;
  }

  /** After a change, what was measured before it is brought to the pace of now: it still tells what is fixed and what grows. */
  private adapt(): void {
    const { samples, computeMs } = this;
    const since = computeMs.length - CHANGE_ROUNDS;
    if (since <= 0) return;
    let slower = true;
    let faster = true;
    for (let i = since; i < computeMs.length && (slower || faster); i++) {
      const ratio = this.ratioOf(i);
      slower &&= ratio > CHANGE_FACTOR;
      faster &&= ratio < 1 / CHANGE_FACTOR;
    }
    if (!slower && !faster) return;
    const factor = median(samples.slice(since).map((_, i) => this.ratioOf(since + i)));
    for (let i = 0; i < since; i++) computeMs[i]! *= factor;
  }

  /** As measured over as expected. */
  private ratioOf(task: number): number {
    return this.computeMs[task]! / computingMs(this, this.samples[task]!);
  }
}

/** From task to delivery, of so many times what is exchanged as a rule; undefined before the first one: what a plan expects is nothing to hold anybody to. */
export function expectedMs(speed: Speed, samples: number, exchanges = 1): number | undefined {
  return speed.exchangeMs === undefined || speed.latestSamples === 0 ? undefined : exchanges * speed.exchangeMs + computingMs(speed, samples);
}

/** Samples a second end to end, at the size of its latest task: what it was good for. */
export function effectiveSamplesPerSecond(speed: Speed): number {
  const elapsedMs = speed.latestSamples > 0 ? expectedMs(speed, speed.latestSamples) : undefined;
  return 1000 * (elapsedMs === undefined ? 1 / speed.msPerSample : speed.latestSamples / elapsedMs);
}

/** Tasks end to end, as a rule for shares goes by them. An exchange that was not measured is taken to be the others' median. */
export function roundTimes(groups: readonly { readonly id: string; readonly speed: Speed }[]): readonly WorkerTime[] {
  const measured = groups.map(({ speed: { exchangeMs } }) => exchangeMs).filter((exchangeMs) => exchangeMs !== undefined);
  const unmeasured = measured.length === 0 || measured.length === groups.length ? 0 : median(measured);
  return groups.map(({ id, speed: { fixedMs, msPerSample, exchangeMs = unmeasured } }) => ({ node: id, fixedMs: exchangeMs + fixedMs, msPerSample }));
}

/** Of computing so many samples. */
export function computingMs({ fixedMs, msPerSample }: AffineTime, samples: number): number {
  return fixedMs + samples * msPerSample;
}

/** In the place of the oldest one, where there are as many as are kept. */
function keep(window: number[], value: number): void {
  if (window.length < WINDOW) return void window.push(value);
  for (let i = 1; i < WINDOW; i++) window[i - 1] = window[i]!;
  window[WINDOW - 1] = value;
}
