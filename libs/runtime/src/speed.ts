import type { ExpectedSpeed } from '@longtail/core';

/**
 * What is known of a worker's pace: an affine model of a task's time, `exchangeMs + samples · msPerSample`, each the median
 * of its latest measurements. On a shared machine single rounds take twice as long; a mean would make shares follow the
 * noise, a median follows a change that lasts. A value; every update gives a new one.
 */
export interface Speed {
  readonly msPerSample: number;
  /** Parameters down, gradient up, and waiting; undefined: nobody knows before the first delivery. */
  readonly exchangeMs: number | undefined;
  /** Samples of its latest task; 0 before the first. */
  readonly latestSamples: number;
  readonly recent: { readonly msPerSample: readonly number[]; readonly exchangeMs: readonly number[] };
}

/** Measurements that the median is taken of: a lasting change is followed after half of them. */
const WINDOW = 15;
/** A missed deadline at least halves the estimate … */
const MISS_FACTOR = 2;
/** … and each round without a share lifts it a little, so that an estimate that was wrong gets another try. */
const IDLE_FACTOR = 1.05;

/** From the speed that the worker measured while it prepared. */
export function initialSpeed(samplesPerSecond: number): Speed {
  return { msPerSample: 1000 / samplesPerSecond, exchangeMs: undefined, latestSamples: 0, recent: { msPerSample: [], exchangeMs: [] } };
}

/** From a plan. It counts as a measurement: first rounds, which pay for graphs and connections, do not move the median at once. */
export function plannedSpeed({ msPerSample, exchangeMs }: ExpectedSpeed): Speed {
  return { msPerSample, exchangeMs, latestSamples: 0, recent: { msPerSample: [msPerSample], exchangeMs: [exchangeMs] } };
}

export interface Measurement {
  readonly samples: number;
  readonly computeMs: number;
  /** From task to delivery. */
  readonly elapsedMs: number;
}

export function afterDelivery(speed: Speed, { samples, computeMs, elapsedMs }: Measurement): Speed {
  const recent = {
    msPerSample: latest(speed.recent.msPerSample, computeMs / samples),
    exchangeMs: latest(speed.recent.exchangeMs, Math.max(0, elapsedMs - computeMs)),
  };
  return { msPerSample: median(recent.msPerSample), exchangeMs: median(recent.exchangeMs), latestSamples: samples, recent };
}

/** Local steps say nothing about the exchange: it overlaps with the next ones. */
export function afterLocalSteps(speed: Speed, samples: number, computeMs: number): Speed {
  const recent = { ...speed.recent, msPerSample: latest(speed.recent.msPerSample, computeMs / samples) };
  return { ...speed, msPerSample: median(recent.msPerSample), recent };
}

/** What was measured before the miss is forgotten: the worker is not what it was. */
export function afterMiss(speed: Speed, samples: number, elapsedMs: number): Speed {
  const msPerSample = Math.max(MISS_FACTOR * speed.msPerSample, elapsedMs / samples);
  return { ...speed, msPerSample, latestSamples: samples, recent: { ...speed.recent, msPerSample: [] } };
}

export function afterIdleRound(speed: Speed): Speed {
  const exchangeMs = speed.exchangeMs === undefined ? undefined : speed.exchangeMs / IDLE_FACTOR;
  return { ...speed, msPerSample: speed.msPerSample / IDLE_FACTOR, exchangeMs };
}

/** From task to delivery, of so many times what is exchanged as a rule; undefined before the first one: what a plan expects is nothing to hold anybody to. */
export function expectedMs(speed: Speed, samples: number, exchanges = 1): number | undefined {
  return speed.exchangeMs === undefined || speed.latestSamples === 0 ? undefined : exchanges * speed.exchangeMs + samples * speed.msPerSample;
}

/** Samples a second end to end, at the size of its latest task: what it was good for. */
export function effectiveSamplesPerSecond(speed: Speed): number {
  const elapsedMs = speed.latestSamples > 0 ? expectedMs(speed, speed.latestSamples) : undefined;
  return 1000 * (elapsedMs === undefined ? 1 / speed.msPerSample : speed.latestSamples / elapsedMs);
}

/**
 * Samples a second of each worker, end to end, if a batch is split so that all are done at the same time T: the T with
 * Σ max(0, T − exchange_i) / msPerSample_i = batch, found by filling up (water-filling). A worker whose exchange alone
 * takes longer than T is good for nothing at this batch. An exchange that was not measured is taken to be the others'
 * median.
 */
export function balancedSpeeds(batch: number, speeds: readonly Speed[]): readonly number[] {
  const measured = speeds.flatMap(({ exchangeMs }) => (exchangeMs === undefined ? [] : [exchangeMs]));
  const unmeasured = measured.length === 0 ? 0 : median(measured);
  const workers = speeds.map(({ exchangeMs, msPerSample }) => ({ fromMs: exchangeMs ?? unmeasured, rate: 1 / msPerSample }));
  const doneMs = fillUp(batch, workers);
  return workers.map(({ fromMs, rate }) => (1000 * Math.max(0, doneMs - fromMs) * rate) / doneMs);
}

function fillUp(batch: number, workers: readonly { readonly fromMs: number; readonly rate: number }[]): number {
  const sorted = [...workers].sort((a, b) => a.fromMs - b.fromMs);
  let rate = 0;
  let offset = 0;
  for (const [i, worker] of sorted.entries()) {
    rate += worker.rate;
    offset += worker.rate * worker.fromMs;
    const doneMs = (batch + offset) / rate;
    if (doneMs <= (sorted[i + 1]?.fromMs ?? Infinity)) return doneMs;
  }
  return Infinity;
}

function latest(values: readonly number[], value: number): readonly number[] {
  return [...values, value].slice(-WINDOW);
}

/** The lower one of the two in the middle. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}
