import type { ExpectedSpeed, WorkerTime } from '@longtail/core';
import { fitAffine, fitProportional, median, type AffineTime, type TimedWork } from './affine-time.js';

/**
 * What is known of a group's pace: a task of n samples takes `exchangeMs + fixedMs + n · msPerSample`, of which the latter two are
 * computing. On a shared machine single rounds take twice as long; what is far off by itself moves nothing, a change that
 * lasts is followed. A value; every update gives a new one.
 */
export interface Speed extends AffineTime {
  /** Parameters down, gradient up, and waiting; undefined: nobody knows before the first delivery. */
  readonly exchangeMs: number | undefined;
  /** Samples of its latest task; 0 before the first. */
  readonly latestSamples: number;
  readonly recent: { readonly computing: readonly TimedWork[]; readonly exchangeMs: readonly number[] };
}

/** Measurements that the estimate is made of. */
const WINDOW = 15;
/** So many in a row that are all slower, or all faster, than expected by this factor are a change … */
const CHANGE_ROUNDS = 3;
const CHANGE_FACTOR = 1.5;
/** A missed deadline at least halves the estimate … */
const MISS_FACTOR = 2;
/** … and each round without a share lifts it a little, so that an estimate that was wrong gets another try. */
const IDLE_FACTOR = 1.05;

/** From the speed that the worker measured while it prepared. */
export function initialSpeed(samplesPerSecond: number): Speed {
  return { fixedMs: 0, msPerSample: 1000 / samplesPerSecond, exchangeMs: undefined, latestSamples: 0, recent: { computing: [], exchangeMs: [] } };
}

/** From a plan. It counts as a measurement: first rounds, which pay for connections, do not move the estimate at once. */
export function plannedSpeed({ msPerSample, exchangeMs }: ExpectedSpeed): Speed {
  return { fixedMs: 0, msPerSample, exchangeMs, latestSamples: 0, recent: { computing: [], exchangeMs: [exchangeMs] } };
}

export interface Measurement {
  readonly samples: number;
  readonly computeMs: number;
  /** From task to delivery. */
  readonly elapsedMs: number;
  /** Of local steps, each of one size: a task of more of them takes as much longer. */
  readonly inSteps?: boolean;
}

export function afterDelivery(speed: Speed, { samples, computeMs, elapsedMs, inSteps = false }: Measurement): Speed {
  const exchanges = latest(speed.recent.exchangeMs, Math.max(0, elapsedMs - computeMs));
  const isPlanned = speed.latestSamples === 0 && speed.exchangeMs !== undefined;
  const before = isPlanned ? [{ samples, ms: computingMs(speed, samples) }] : speed.recent.computing;
  const computing = followed(speed, latest(before, { samples, ms: computeMs }));
  const { fixedMs, msPerSample } = inSteps ? fitProportional(computing) : fitAffine(computing);
  return { fixedMs, msPerSample, exchangeMs: median(exchanges), latestSamples: samples, recent: { computing, exchangeMs: exchanges } };
}

/** Local steps of a worker alone say nothing about the exchange: it overlaps with the next ones. */
export function afterLocalSteps(speed: Speed, samples: number, computeMs: number): Speed {
  const { exchangeMs, latestSamples, recent } = speed;
  const computing = followed(speed, latest(recent.computing, { samples, ms: computeMs }));
  const { fixedMs, msPerSample } = fitProportional(computing);
  return { fixedMs, msPerSample, exchangeMs, latestSamples, recent: { computing, exchangeMs: recent.exchangeMs } };
}

/** After a change, what was measured before it is brought to the pace of now: it still tells what is fixed and what grows. */
function followed(speed: Speed, computing: readonly TimedWork[]): readonly TimedWork[] {
  const since = computing.length - CHANGE_ROUNDS;
  if (since <= 0) return computing;
  const ratioOf = ({ samples, ms }: TimedWork) => ms / computingMs(speed, samples);
  let slower = true;
  let faster = true;
  for (let i = since; i < computing.length && (slower || faster); i++) {
    const ratio = ratioOf(computing[i]!);
    slower &&= ratio > CHANGE_FACTOR;
    faster &&= ratio < 1 / CHANGE_FACTOR;
  }
  if (!slower && !faster) return computing;
  const factor = median(computing.slice(since).map(ratioOf));
  return computing.map(({ samples, ms }, i) => ({ samples, ms: i < since ? ms * factor : ms }));
}

/** What was measured before the miss is forgotten: the worker is not what it was. */
export function afterMiss(speed: Speed, samples: number, elapsedMs: number): Speed {
  const msPerSample = Math.max((MISS_FACTOR * computingMs(speed, samples)) / samples, elapsedMs / samples);
  return { ...speed, fixedMs: 0, msPerSample, latestSamples: samples, recent: { ...speed.recent, computing: [] } };
}

export function afterIdleRound(speed: Speed): Speed {
  const { fixedMs, msPerSample, exchangeMs } = speed;
  const lifted = exchangeMs === undefined ? undefined : exchangeMs / IDLE_FACTOR;
  return { ...speed, fixedMs: fixedMs / IDLE_FACTOR, msPerSample: msPerSample / IDLE_FACTOR, exchangeMs: lifted };
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

function latest<T>(values: readonly T[], value: T): readonly T[] {
  const kept: T[] = [];
  for (let i = values.length < WINDOW ? 0 : 1; i < values.length; i++) kept.push(values[i]!);
  kept.push(value);
  return kept;
}
