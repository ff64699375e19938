import type { DeviceBound, Pace, SiteBound } from './device-bounds.js';

/** Milliseconds of an inner step that an exchange of so long leaves. */
type Left = (tailMs: number) => number;

/**
 * Credit of a device in groups whose links are direct. With T what exchange and hops leave of a round to an inner step, l the
 * device's time for the whole model a sample and r = 1 / l, w the largest part of the work that its memory holds, f ≤ w the part it
 * gets, n the group's samples and b its microbatch: T r − b (1 − f), where T r < b no more than b w. In a pipeline T ≥ b Σ f l +
 * (n − b) max f l, so n ≤ Σ (f b + y (T r − b)) with y = f l / max f l; among p devices y ≤ f R / r for R of the device and the
 * p − 1 fastest beside it. T has lost p − 1 hops and the exchange of f of the model. The p and f that give most count. A stage of
 * replicas is one of f l the mean over its replicas, since its slowest has the latency.
 */
export function directCredit(bound: DeviceBound, site: SiteBound, left: Left, steps: number): number {
  if (!site.direct) return 0;
  let most = wideCredit(bound, site, left, steps * site.leastSumMs);
  for (let others = 0; others < site.hopsMs.length; others++) {
    const hopsMs = site.hopsMs[others]!;
    const msWith = (part: number) => left(bound.roundTripMs + part * bound.spreadMs) - hopsMs;
    for (let p = 0; p < bound.paces.length; p++) most = Math.max(most, creditAt(bound.paces[p]!, site.rates[p]![others]!, msWith));
  }
  return most;
}

/** … in those that have stages with replicas, which take so much of a round for their sums: a stage's exchange comes after its own sums only. */
export function wideCredit(bound: DeviceBound, site: SiteBound, left: Left, sumsMs: number, elsewhere = 0): number {
  if (!site.direct) return 0;
  let most = Math.max(0, left(site.replicasTailMs) - site.replicasSumMs) / bound.soloMs;
  const msWith = (part: number) => left(bound.roundTripMs + Math.max(sumsMs, part * bound.spreadMs)) - site.wideHopMs;
  const bend = bound.spreadMs > 0 ? sumsMs / bound.spreadMs : 0;
  for (let p = 0; p < bound.paces.length; p++)
    most = Math.max(most, creditAt(bound.paces[p]!, site.rates[p]!.at(-1)! + elsewhere, msWith, bend));
  return most;
}

/** `bend`: the part from which on time falls faster. */
function creditAt({ microbatch, msPerSample, held }: Pace, others: number, msWith: (part: number) => number, bend = 0): number {
  if (held <= 0) return 0;
  const rate = 1 / msPerSample;
  const samplesWith = (part: number) => Math.max(0, msWith(part)) * rate;
  const creditWith = (part: number) => {
    const samples = samplesWith(part);
    return samples < microbatch ? microbatch * held : samples - microbatch * (1 - part);
  };
  const atMost = samplesWith(0);
  if (atMost < microbatch) return Math.min(atMost, microbatch * held);
  // With less it is not busy all of the time, with more it pays more exchange; unless its exchange is so long that even less is better.
  const even = Math.min(held, rate / (rate + others));
  if (samplesWith(2 * even) < microbatch * (1 - even)) return atMost;
  return Math.max(creditWith(even), creditWith(held), creditWith(Math.min(held, Math.max(even, bend))));
}
