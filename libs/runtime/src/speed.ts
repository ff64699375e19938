import { lowerMedian, median, type ExpectedSpeed, type WorkerTime } from '@longtail/core';
import { fitAffine, fitProportional, type AffineTime } from './affine-time.js';
import { SharedLine } from './shared-line.js';

/** Measurements that the estimate is made of. */
const WINDOW = 15;
/** So many in a row that are all slower, or all faster, than expected by this factor are a change … */
const CHANGE_ROUNDS = 3;
const CHANGE_FACTOR = 1.5;
/** A missed deadline at least halves the estimate … */
const MISS_FACTOR = 2;
/** Each round without a share is a little more reason to see whether the estimate was wrong. */
const IDLE_FACTOR = 1.05;
/** … but so many are all there can be. */
const MOST_IDLE = 200;
/** Exchanges of a round tell of one in which this fraction more or fewer groups take part. */
const ALIKE = 0.25;
/** A smaller difference between two rounds says nothing of what each group adds. */
const DIFFERENCE = 0.1;
/** No time: what is written in place is a number at all times (ADR 46). */
const UNKNOWN = -1;
/** Those exchanges of a window that count, where a median is taken of them. */
const counting = new Float64Array(WINDOW);

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
  msPerSample = 0;
  /** Samples of its latest task; 0 before the first. */
  latestSamples = 0;
  /** Rounds without a share since then. */
  private idle = 0;
  /** Its latest task was given up: it would have taken as long as is known, at least. */
  gaveUp = false;
  /** Of the latest tasks, the oldest first, side by side: their samples and what computing took. */
  private readonly samples: number[] = [];
  private readonly computeMs: number[] = [];
  /** Of the latest whole exchanges, the same: what they took, and among how many groups. */
  private readonly exchanges: number[] = [];
  private readonly among: number[] = [];
  /** Of an exchange, by itself; `UNKNOWN`: to be found, or nobody knows. And for which state of the line it was found. */
  private ownMs = UNKNOWN;
  private foundMsEach = 0;
  private foundGroups = 0;

  /** From the speed that the worker measured while it prepared. */
  static measured(samplesPerSecond: number, line?: SharedLine): Speed {
    return new Speed(1000 / samplesPerSecond, line);
  }

  /** From a plan. It counts as a measurement: first rounds, which pay for connections, do not move the estimate at once. */
  static planned({ msPerSample, exchangeMs }: ExpectedSpeed, line?: SharedLine): Speed {
    const speed = new Speed(msPerSample, line);
    speed.exchanged(exchangeMs, true);
    return speed;
  }

  private constructor(
    msPerSample: number,
    /** That it exchanges over, as others do. */
    private readonly line = new SharedLine(),
  ) {
    this.msPerSample = msPerSample;
  }

  /** Parameters down, gradient up, and waiting, as many groups as there are exchanging; undefined: nobody knows before the first delivery. */
  get exchangeMs(): number | undefined {
    const { ownExchangeMs, line } = this;
    return ownExchangeMs === undefined ? undefined : ownExchangeMs + line.groups * line.msEach;
  }

  /** A whole one was measured, or planned. */
  get hasExchanged(): boolean {
    return this.exchanges.length > 0;
  }

  /** Without what the groups that exchange, it among them, make of it. */
  get ownExchangeMs(): number | undefined {
    const { ownMs, line, foundMsEach, foundGroups } = this;
    if ((ownMs === UNKNOWN || foundMsEach !== line.msEach || foundGroups !== line.groups) && this.hasExchanged) this.findOwn();
    return this.ownMs === UNKNOWN ? undefined : this.ownMs;
  }

  delivered({ samples, computeMs, elapsedMs, receives = true, inSteps = false }: Measurement): void {
    const isPlanned = this.latestSamples === 0 && this.hasExchanged;
    this.idle = 0;
    this.gaveUp = false;
    if (isPlanned) {
      this.forget();
      this.note(samples, computingMs(this, samples));
      this.among.fill(this.line.groups);
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
    this.idle = 0;
    this.gaveUp = true;
    if (computeMs !== undefined) return this.exchangeMissed(elapsedMs - computeMs);
    this.msPerSample = Math.max((MISS_FACTOR * computingMs(this, samples)) / samples, elapsedMs / samples);
    this.fixedMs = 0;
    this.forget();
  }

  /** It takes that long at least. */
  private exchangeMissed(ms: number): void {
    const leastMs = Math.max(ms, this.exchangeMs ?? 0);
    this.exchanges.length = this.among.length = 0;
    this.exchanged(leastMs, true);
  }

  /** A part of an exchange is all that is known before there was a whole one. */
  private exchanged(ms: number, whole: boolean): void {
    const { exchanges, among, line: { groups, msEach } } = this;
    if (whole) {
      if (this.latestSamples > 0) this.line.observe(ms, this.lastAmongOthers());
      keep(exchanges, ms);
      keep(among, groups);
      this.ownMs = UNKNOWN;
    } else if (exchanges.length === 0) this.ownMs = Math.max(0, ms - groups * msEach);
  }

  /** The last exchange, where clearly more or fewer groups took part in it. */
  private lastAmongOthers(): { readonly ms: number; readonly groups: number } | undefined {
    const { exchanges, among, line: { groups } } = this;
    const before = among.at(-1);
    if (before === undefined || Math.abs(groups - before) < DIFFERENCE * Math.max(groups, before)) return undefined;
    return { ms: median(exchanges.filter((_, i) => among[i] === before)), groups: before };
  }

  /** By the rounds of about as many groups; where there are none, by all, and what the line makes of the difference. */
  private findOwn(): void {
    const { exchanges, among, line: { msEach, groups } } = this;
    let isAnyAlike = false;
    for (const count of among) isAnyAlike ||= areAlike(count, groups);
    let count = 0;
    for (let i = 0; i < among.length; i++) {
      if (!isAnyAlike || areAlike(among[i]!, groups)) counting[count++] = exchanges[i]! - among[i]! * msEach;
    }
    this.ownMs = Math.max(0, lowerMedian(counting, count));
    this.foundMsEach = msEach;
    this.foundGroups = groups;
  }

  /** A round without a share. */
  idled(): void {
    this.idle = Math.min(MOST_IDLE, this.idle + 1);
  }

  /** How many times as fast as it is known to be it may be by now. */
  get hope(): number {
    return IDLE_FACTOR ** this.idle;
  }

  /** How many times as fast it is expected to be in a try: what was measured holds, what was given up was not measured. */
  get expectedGain(): number {
    return this.gaveUp ? this.hope : 1;
  }

  /** It is to have a share for a try, and is expected to do as well as it is hoped to. */
  retry(): void {
    const gain = this.expectedGain;
    this.fixedMs /= gain;
    this.msPerSample /= gain;
    for (let i = 0; i < this.exchanges.length; i++) this.exchanges[i]! /= gain;
    if (this.hasExchanged) this.ownMs = UNKNOWN;
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
    (inSteps ? fitProportional : fitAffine)(this, this.samples, this.computeMs);
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
  const { exchangeMs } = speed;
  return exchangeMs === undefined || speed.latestSamples === 0 ? undefined : exchanges * exchangeMs + computingMs(speed, samples);
}

/** Samples a second end to end, at the size of its latest task: what it was good for. */
export function effectiveSamplesPerSecond(speed: Speed): number {
  const elapsedMs = speed.latestSamples > 0 ? expectedMs(speed, speed.latestSamples) : undefined;
  return 1000 * (elapsedMs === undefined ? 1 / speed.msPerSample : speed.latestSamples / elapsedMs);
}

/**
 * Tasks end to end, without what groups take from each other on the line, as a rule for shares goes by them. An exchange that was not
 * measured is taken to be the others' median; `wholly`: one of which a part was measured too.
 */
export function roundTimes(groups: readonly { readonly id: string; readonly speed: Speed }[], wholly = false): readonly WorkerTime[] {
  const measured = new Float64Array(groups.length);
  let count = 0;
  for (const { speed } of groups) {
    const ms = measuredMs(speed, wholly);
    if (ms !== undefined) measured[count++] = ms;
  }
  const usualMs = count === 0 || count === groups.length ? 0 : lowerMedian(measured, count);
  return groups.map(({ id, speed }) => ({ node: id, fixedMs: (measuredMs(speed, wholly) ?? usualMs) + speed.fixedMs, msPerSample: speed.msPerSample }));
}

function measuredMs(speed: Speed, wholly: boolean): number | undefined {
  return wholly && !speed.hasExchanged ? undefined : speed.ownExchangeMs;
}

function areAlike(count: number, groups: number): boolean {
  return Math.abs(count - groups) <= ALIKE * groups;
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
