import type { Way } from './links.js';

/** Gradients among replicas of a stage are not coded. */
export const SUM_BITS = 32;

/** Of a vector that several hold, what each sends for all to have the sum (ADR 26): 2(r − 1)/r, as any all-reduce at best (Patarasuk & Yuan 2009). */
export function sentInSum(holders: number): number {
  return (2 * (holders - 1)) / holders;
}

/** What that takes over ways that are all like this. Two send each other all of it, more send parts and then their sums. */
export function sumMs(values: number, holders: number, { bitsPerSecond, delayMs }: Omit<Way, 'direct'>): number {
  return (1000 * SUM_BITS * values * sentInSum(holders)) / bitsPerSecond + (holders === 2 ? 1 : 2) * delayMs;
}

/** … of however many, over ways no better than this. */
export function leastSumMs(values: number, way: Omit<Way, 'direct'>): number {
  return sumMs(values, 2, way);
}
