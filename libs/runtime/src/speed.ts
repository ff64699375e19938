/**
 * What is known of a worker's pace: an affine model of a task's time, `exchangeMs + samples / samplesPerMs`, smoothed over
 * what it delivered. A value; every update gives a new one.
 */
export interface Speed {
  readonly samplesPerMs: number;
  /** Parameters down, gradient up, and waiting; undefined before the first delivery. */
  readonly exchangeMs: number | undefined;
  /** Samples of its latest task. */
  readonly latestSamples: number;
}

/** Weight of the newest measurement. */
const SMOOTHING = 0.3;
/** A missed deadline at least halves the estimate; each round without a share lifts it a little, so that an estimate that was wrong gets another try. */
const MISS_FACTOR = 0.5;
const IDLE_FACTOR = 1.05;

/** From the speed that the worker measured while it prepared. */
export function initialSpeed(samplesPerSecond: number): Speed {
  return { samplesPerMs: samplesPerSecond / 1000, exchangeMs: undefined, latestSamples: 0 };
}

export interface Measurement {
  readonly samples: number;
  readonly computeMs: number;
  /** From task to delivery. */
  readonly elapsedMs: number;
}

export function afterDelivery(speed: Speed, { samples, computeMs, elapsedMs }: Measurement): Speed {
  const measuredRate = samples / Math.max(computeMs, 1e-3);
  const measuredExchangeMs = Math.max(0, elapsedMs - computeMs);
  // The time a sample takes is averaged, not the rate: one fast outlier must not count more than one slow.
  const first = speed.exchangeMs === undefined;
  return {
    samplesPerMs: first ? measuredRate : 1 / smooth(1 / speed.samplesPerMs, 1 / measuredRate),
    exchangeMs: first ? measuredExchangeMs : smooth(speed.exchangeMs!, measuredExchangeMs),
    latestSamples: samples,
  };
}

/** Local steps say nothing about the exchange: it overlaps with the next ones. */
export function afterLocalSteps(speed: Speed, samples: number, computeMs: number): Speed {
  return { ...speed, samplesPerMs: 1 / smooth(1 / speed.samplesPerMs, Math.max(computeMs, 1e-3) / samples) };
}

export function afterMiss(speed: Speed, samples: number, elapsedMs: number): Speed {
  return { ...speed, samplesPerMs: Math.min(MISS_FACTOR * speed.samplesPerMs, samples / Math.max(elapsedMs, 1e-3)), latestSamples: samples };
}

export function afterIdleRound(speed: Speed): Speed {
  return { ...speed, samplesPerMs: speed.samplesPerMs * IDLE_FACTOR };
}

/** From task to delivery; undefined before anything was measured. */
export function expectedMs(speed: Speed, samples: number): number | undefined {
  return speed.exchangeMs === undefined ? undefined : speed.exchangeMs + samples / speed.samplesPerMs;
}

/**
 * Samples a second end to end, at the size of its latest task. Shares in proportion to it converge to equal finishing
 * times although each worker's time has a part that does not shrink with its share.
 */
export function effectiveSamplesPerSecond(speed: Speed): number {
  const elapsedMs = speed.latestSamples > 0 ? expectedMs(speed, speed.latestSamples) : undefined;
  return 1000 * (elapsedMs === undefined ? speed.samplesPerMs : speed.latestSamples / elapsedMs);
}

function smooth(old: number, measured: number): number {
  return old + SMOOTHING * (measured - old);
}
