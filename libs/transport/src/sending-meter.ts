import type { LinkRate } from '@longtail/core';

/** A stretch as long as that, and so many round trips, says what the link carries; a longer one is told in parts. */
const LEAST_MS = 100;
const LEAST_ROUND_TRIPS = 4;
const MOST_MS = 1_000;

/** All that was observed before counts as much as an observation of so many ms, at most. */
const MOST_BEFORE_MS = 1_000;

/**
 * How fast a link carries what is sent, from stretches of acknowledgements between which something always waited for the link: neither
 * the application nor the peer was what sending waited for.
 */
export class SendingMeter {
  private smoothed: LinkRate | undefined;
  private beforeMs = 0;
  /** From an acknowledgement on, whose own bytes do not count. */
  private stretch: { readonly fromMs: number; bytes: number; toMs: number } | undefined;

  /** A new object for every observation. */
  get rate(): LinkRate | undefined {
    return this.smoothed;
  }

  /** Pieces were acknowledged; `linkWaits`: there was more to send, had the link had room. */
  acknowledged(bytes: number, linkWaits: boolean, nowMs: number, roundTripMs: number): void {
    const { stretch } = this;
    if (stretch !== undefined) {
      stretch.bytes += bytes;
      stretch.toMs = nowMs;
      if (!linkWaits || nowMs - stretch.fromMs >= Math.max(MOST_MS, LEAST_ROUND_TRIPS * roundTripMs)) this.end(roundTripMs);
    }
    if (linkWaits) this.stretch ??= { fromMs: nowMs, bytes: 0, toMs: nowMs };
  }

  /** What was acknowledged does not count, nor does what it shared the link with. */
  interrupt(): void {
    this.stretch = undefined;
  }

  private end(roundTripMs: number): void {
    const { fromMs, toMs, bytes } = this.stretch!;
    this.stretch = undefined;
    const ms = toMs - fromMs;
    if (ms < Math.max(LEAST_MS, LEAST_ROUND_TRIPS * roundTripMs)) return;
    const before = this.smoothed?.bitsPerSecond ?? 0;
    const weight = ms / (ms + this.beforeMs);
    this.smoothed = { bitsPerSecond: before + weight * ((8000 * bytes) / ms - before), roundTripMs };
    this.beforeMs = Math.min(this.beforeMs + ms, MOST_BEFORE_MS);
  }
}
