import type { ExchangeTimes } from './events.js';

/** What a worker's time goes to, as parts of it that add up to 1, but for coding, which overlaps with sending. What is sent beside computing takes none. */
export interface TimeParts {
  readonly computes: number;
  readonly receives: number;
  readonly codes: number;
  readonly sends: number;
  readonly waits: number;
}

/** Of sums over any number of contributions. */
export function timeParts(computeMs: number, { receiveMs, encodeMs, sendMs, hiddenMs = 0, waitMs }: ExchangeTimes): TimeParts {
  const sends = sendMs - hiddenMs;
  const all = Math.max(0, computeMs) + receiveMs + sends + Math.max(0, waitMs) || 1;
  const part = (ms: number) => Math.max(0, ms) / all;
  return { computes: part(computeMs), receives: part(receiveMs), codes: part(encodeMs), sends: part(sends), waits: part(waitMs) };
}

export function addTimes(a: ExchangeTimes, b: ExchangeTimes): ExchangeTimes {
  return {
    receiveMs: a.receiveMs + b.receiveMs,
    encodeMs: a.encodeMs + b.encodeMs,
    sendMs: a.sendMs + b.sendMs,
    hiddenMs: (a.hiddenMs ?? 0) + (b.hiddenMs ?? 0),
    waitMs: a.waitMs + b.waitMs,
  };
}

/** A worker whose device stands still for its uplink no longer than this part of its time has it hidden behind compute. */
export const HIDDEN_PART = 0.05;

/** `hidden, 2.1 % of its time`. `sends`: the part of its time in which a worker sends and does not compute. */
export function uplinkInWords(sends: number): string {
  return `${sends <= HIDDEN_PART ? 'hidden' : 'not hidden'}, ${(100 * sends).toFixed(1)} % of its time`;
}
