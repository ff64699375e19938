import type { DeviceBound, Pace } from './device-bounds.js';

/** What is left to a pipeline with a hop through the server. */
interface Relayed {
  /** An inner step, with all that is said here of a round dealt out over its steps. */
  readonly stepMs: number;
  /** What an exchange takes of an inner step, of its time; 0: that is taken off already. */
  readonly exchanged: number;
  /** The fastest uplink of all, a sample. */
  readonly fastestMs: number;
}

/** λ, and θ, in the argument below. */
interface Weighing {
  readonly link: number;
  readonly slope: number;
}

/** Which of them bounds best depends on the fleet. */
export const WEIGHINGS: readonly Weighing[] = [
  { link: 0, slope: 1 },
  { link: 0.8, slope: 1.5 },
  { link: 0.85, slope: 1.25 },
  { link: 0.9, slope: 1 },
  { link: 1, slope: 1 },
];

/** Samples of a group. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Whole numbers are told apart as long as the next is more by a larger part; others are not counted as exactly. */
const WHOLE_STEP = 1.04;
const STEP = 1.1;

/** Spans that hold all counts of samples, from a pipeline's least on; with `whole` all whole ones. */
export function spansOf(least: number, most: number, whole: boolean): readonly Span[] {
  const spans: Span[] = [];
  let from = least;
  while (from < most) {
    const to = whole ? Math.floor(from * WHOLE_STEP) : from * STEP;
    spans.push({ from, to });
    from = whole ? to + 1 : to;
  }
  return [...spans, { from, to: Infinity }];
}

/**
 * Credit of a device in pipelines with a hop through the server. With T an inner step, n the group's samples, b its microbatch,
 * f the device's part of the work, l its time for the whole model a sample, h its uplink's time a sample and E its exchange:
 *
 * At the ends of a relayed hop n (h + h′) + b Σ f l + E ≤ T, where a microbatch's way there and back is in h. Say v(h) =
 * max(0, ½ + θ (½ − n h / T)); then v(h) + v(h′) ≥ 1 + θ (b Σ f l + E) / T, and the longest exchange is no less than Σ f E of all
 * devices' own. So λ of n ≤ n Σ v − n θ Σ f (b l + E) / T, and 1 − λ of n = n Σ f: a device's credit is what it has in both at the n at
 * which that is most, and with whole samples only whole n count. Of the work it does no more than fits it, than its time allows,
 * n f l + E ≤ T, and, alone at home, than its own hop leaves: n (h + h′) + b f l + E ≤ T. Between stages of s replicas s hops go
 * side by side, each with n / s samples: where a device may have replicas, v counts for any samples up to n.
 *
 * Only what exceeds `beyond` counts: else that.
 */
export function relayedCredit(bound: DeviceBound, relayed: Relayed, spans: readonly Span[], weighing: Weighing, beyond: number): number {
  const { stepMs } = relayed;
  const { link, slope } = weighing;
  const { uplinkMs, lone, paces } = bound;
  if (uplinkMs === Infinity || stepMs === 0) return beyond;
  let most = beyond;
  for (let p = 0; p < paces.length; p++) {
    const pace = paces[p]!;
    const { msPerSample, held } = pace;
    if (held < 0) continue;
    const carried = (link * stepMs * (1 + slope) ** 2) / (16 * slope * uplinkMs);
    const computed = Math.min(stepMs / msPerSample, lone ? (held * stepMs) / uplinkMs : Infinity);
    if (carried + (1 - link) * computed <= most) continue;
    const each = (link * (1 + slope)) / 2 + (1 - link) * held;
    for (let i = spans.length - 1; i >= 0; i--) {
      const span = spans[i]!;
      if (span.to * each <= most) break;
      if (lone && span.from * (uplinkMs + relayed.fastestMs) >= stepMs) continue;
      most = Math.max(most, creditIn(span, bound, pace, relayed, weighing));
    }
  }
  return most;
}

function creditIn(
  { from, to }: Span,
  { uplinkMs, lone, roundTripMs, spreadMs }: DeviceBound,
  { microbatch, msPerSample, held }: Pace,
  { stepMs, exchanged, fastestMs }: Relayed,
  { link, slope }: Weighing,
): number {
  const spread = exchanged * spreadMs;
  const left = stepMs - exchanged * roundTripMs;
  // Of n v(h) as a function of n.
  const rise = (1 + slope) / 2 - (slope * roundTripMs) / stepMs;
  const fall = (slope * uplinkMs) / stepMs;
  const carrying = Math.min(to, Math.max(lone ? from : 0, rise / (2 * fall)));
  const carried = carrying * Math.max(0, rise - fall * carrying);
  const parts = to === Infinity ? 0 : spread / to;
  let work = Math.min(held === 0 ? 0 : to * held, left / (msPerSample + parts));
  if (lone) {
    const room = left - roundTripMs - from * (uplinkMs + fastestMs);
    if (room <= 0) return 0;
    work = Math.min(work, (to * room) / (microbatch * msPerSample + spread));
  }
  const charge = (link * slope) / stepMs;
  const each = 1 - link - charge * (microbatch * msPerSample + exchanged * roundTripMs);
  const best = each <= 0 ? 0 : Math.min(work, charge * parts > 0 ? each / (2 * charge * parts) : Infinity);
  return link * carried + best * (each - charge * parts * best);
}
