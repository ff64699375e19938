/** What a sender noted when it sent a piece, to learn from its acknowledgement. */
export interface SentMark {
  readonly bytes: number;
  readonly atMs: number;
  /** What had been delivered by then, when the last of it was acknowledged, and when that last piece had been sent. */
  readonly deliveredBytes: number;
  readonly deliveredAtMs: number;
  readonly deliveredSentAtMs: number;
  /** Nothing else was in flight: its round trip has no queue of ours in it. */
  readonly alone: boolean;
  /** Not all the time did the application have more to send, so that what was delivered meanwhile is no rate of the link's. */
  readonly starved: boolean;
}

export interface SendWindowOptions {
  /** Bytes in flight to begin with, and always beside the product. */
  readonly leastBytes: number;
  /** What may leave at once, whatever the pace, where the pace takes no longer than `BURST_MS` for it. */
  readonly burstBytes: number;
  /** Peers with shorter round trips are in the same room: nothing is paced there. */
  readonly nearMs: number;
  readonly mostBytes: number;
  /** Window as a multiple of the bandwidth-delay product; what exceeds 1 waits in the link's queue, and lets a higher rate show. */
  readonly gain: number;
  /** Rate of sending as a multiple of the delivery rate. */
  readonly paceGain: number;
}

/**
 * The shortest round trip that counts: between fast peers it is two event loops' turns, not the wire, that an acknowledgement waits for,
 * and those vary.
 */
const TURNAROUND_MS = 30;

/** How long a round trip counts as the shortest one. */
const ROUND_TRIP_MEMORY_MS = 10_000;

/** How long a one-way delay counts as the shortest: clocks drift by some 6 ms a minute at most. */
const WAY_MEMORY_MS = 60_000;

/** Many who begin together before one link, each over a faster one of its own, then queue no more there than one alone would. */
const BURST_MS = 16;

/**
 * Beyond what one sender alone keeps before a link, which is longer the slower that is: others send over it too. That is said of streams
 * alone, so many times `leastBytes`: what comes in of several who send little now and then is no rate of a link that they share.
 */
const SHARED_QUEUE_MS = 30;
const STREAM = 4;
const TOWARDS_SHARE = 1.25;

/**
 * How long a rate counts as the highest one: a share of a link shrinks when others begin to send. In round trips of pieces, as time does
 * not pass for a link that has nothing to send.
 */
const RATE_MEMORY_ROUND_TRIPS = 10;

/** Round trips without growth by a quarter after which a rate is the link's, as in BBR's startup; until then it may double in each. */
const GROWTH_ROUND_TRIPS = 3;
const GROWTH_PACE_GAIN = 2;

/**
 * Bytes that may be in flight to a peer: `gain` times the bandwidth-delay product, from the highest delivery rate and the shortest
 * round trip seen of late. The model is that of BBR (Cardwell et al., ACM Queue 14(5), 2016): when several senders share a
 * bottleneck each measures its share of it, so together they keep `gain` times the product in flight and no more, which is
 * what stops incast at a server. Rates are estimated as in draft-cheng-iccrg-delivery-rate-estimation-02: acknowledgements that waited
 * behind the other direction's pieces come in bursts, and a burst is no rate.
 */
export class SendWindow {
  private inFlight = 0;
  private delivered = 0;
  /** Until so much is delivered, what is in flight is as little as the application had; as it is before the first piece. */
  private starvedUntilBytes = 0;
  private deliveredAtMs = 0;
  private deliveredSentAtMs = 0;
  /** By when nothing had been in flight for the last time. */
  private deliveredBefore = 0;
  private roundTripMs = Infinity;
  private roundTripAtMs = 0;
  private shortestWayMs = Infinity;
  private shortestWayAtMs = 0;
  private unqueuedMs = 0;
  private bestRate = 0;
  private bestRateRoundTrip = 0;
  /** Of a link that is shared. */
  private share = Infinity;
  private roundTrips = 0;
  /** The current round trip ends with the first piece that was sent when so much had been delivered. */
  private roundTripEnd = 0;
  /** The rate when it last had grown by a quarter, and when that was. */
  private grownRate = 0;
  private grownRoundTrip = 0;
  /** By then all that was sent would have left at the pace. */
  private pacedUntilMs = 0;
  private windowBytes: number;

  constructor(private readonly options: SendWindowOptions) {
    this.windowBytes = options.leastBytes;
  }

  get bytes(): number {
    return this.windowBytes;
  }

  /** The peer is in the same room: its round trip is below `nearMs`. */
  get isNear(): boolean {
    return this.roundTripMs < this.options.nearMs;
  }

  get inFlightBytes(): number {
    return this.inFlight;
  }

  /** Bandwidth times delay, without any queue; 0 while no rate is known. */
  get productBytes(): number {
    return this.bestRate === 0 ? 0 : this.bestRate * this.roundTripMs;
  }

  /** The shortest of late; Infinity before any. */
  get shortestRoundTripMs(): number {
    return this.roundTripMs;
  }

  /** Whether a piece of `bytes` may be sent now; one may always be, when nothing is in flight. */
  hasRoom(bytes: number): boolean {
    return this.inFlight === 0 || this.inFlight + bytes <= this.windowBytes;
  }

  /**
   * How long the next piece should wait although there is room, in ms. After a pause there is all the room at once, acknowledgements that were
   * late come all at once, and what is sent at once waits in the queue of our own link: a home link's drops it.
   */
  paceMs(nowMs: number): number {
    return this.isPaced ? Math.max(0, this.pacedUntilMs - nowMs) : 0;
  }

  private get isPaced(): boolean {
    return this.bestRate > 0 && !this.isNear;
  }

  /** A rate that still grows is not the link's. */
  private get isGrowing(): boolean {
    return this.roundTrips - this.grownRoundTrip < GROWTH_ROUND_TRIPS;
  }

  sent(bytes: number, nowMs: number): SentMark {
    if (this.isPaced) {
      const pace = (this.isGrowing ? GROWTH_PACE_GAIN : this.options.paceGain) * this.rate;
      const burstMs = Math.min(this.options.burstBytes / pace, this.isGrowing ? Infinity : BURST_MS);
      this.pacedUntilMs = Math.max(this.pacedUntilMs, nowMs - burstMs) + bytes / pace;
    }
    const alone = this.inFlight === 0;
    if (alone) {
      this.deliveredAtMs = this.deliveredSentAtMs = nowMs;
      this.deliveredBefore = this.delivered;
      // What the other direction had queued has gone by now: room for acknowledgements that wait would overflow our own queue.
      this.unqueuedMs = Math.min(this.unqueuedMs, this.distanceMs);
      if (this.bestRate > 0) this.resize();
    }
    this.inFlight += bytes;
    const { delivered, deliveredAtMs, deliveredSentAtMs } = this;
    const starved = delivered <= this.starvedUntilBytes;
    return { bytes, atMs: nowMs, deliveredBytes: delivered, deliveredAtMs, deliveredSentAtMs, alone, starved };
  }

  /** The application has no more to send, although there is room. */
  starve(): void {
    this.starvedUntilBytes = this.delivered + this.inFlight;
  }

  /**
   * `arrivedAtMs` by the receiver's clock, which may have any offset. `share`, in bytes/ms: what the receiver would leave to each of those
   * who send to it. Each measures its own part of a shared link, keeps what it got by chance, and who waits for all of them waits for the slowest.
   */
  acknowledged(mark: SentMark, nowMs: number, arrivedAtMs: number, share = Infinity): void {
    this.inFlight -= mark.bytes;
    this.delivered += mark.bytes;
    this.deliveredAtMs = nowMs;
    this.deliveredSentAtMs = mark.atMs;
    const queuedMs = this.observeWay(nowMs - mark.atMs, arrivedAtMs - mark.atMs, mark.alone, nowMs);
    this.observeRoundTrip(nowMs - mark.atMs, mark.alone, nowMs, queuedMs);
    this.observeRate(mark, nowMs);
    const { leastBytes } = this.options;
    const isStream = this.delivered - this.deliveredBefore >= STREAM * leastBytes;
    this.share = isStream && queuedMs > SHARED_QUEUE_MS + leastBytes / this.bestRate ? share : Infinity;
    this.resize();
  }

  private resize(): void {
    const ms = Math.max(this.unqueuedMs, this.distanceMs) + (this.options.gain - 1) * this.distanceMs;
    this.windowBytes = Math.min(this.rate * ms + this.options.leastBytes, this.options.mostBytes);
  }

  /** Who has less than the share of a link gets there by steps: its own may be narrower. */
  private get rate(): number {
    return this.share === Infinity ? this.bestRate : Math.min(this.share, TOWARDS_SHARE * this.bestRate);
  }

  private get distanceMs(): number {
    return Math.max(this.roundTripMs, TURNAROUND_MS);
  }

  /**
   * A round trip that was measured beside the pieces: the handshake's has no queue in it. An old minimum gives way to a longer one by a
   * quarter at a time, only when none of our own bytes were queued, and less the `queuedMs` that it waited behind others': else a queue
   * (ours, or that of workers who send when we do) would be taken for distance.
   */
  observeRoundTrip(ms: number, alone: boolean, nowMs: number, queuedMs = 0): void {
    const isOld = alone && nowMs - this.roundTripAtMs > ROUND_TRIP_MEMORY_MS;
    if (ms > this.roundTripMs && !isOld) return;
    this.roundTripMs = Math.min(ms, Math.max(this.roundTripMs, Math.min(ms - queuedMs, 1.25 * this.roundTripMs)));
    this.roundTripAtMs = nowMs;
  }

  /**
   * Gives the queue before the receiver, in ms, and notes the round trip less that. An acknowledgement may wait behind the other
   * direction's pieces or for a busy event loop; what is in flight must cover that, and fills no queue by it. One-way delays compare as
   * in LEDBAT (RFC 6817).
   */
  private observeWay(roundTripMs: number, wayMs: number, alone: boolean, nowMs: number): number {
    if (wayMs <= this.shortestWayMs || (alone && nowMs - this.shortestWayAtMs > WAY_MEMORY_MS)) {
      this.shortestWayMs = wayMs;
      this.shortestWayAtMs = nowMs;
    }
    const queuedMs = wayMs - this.shortestWayMs;
    const unqueuedMs = roundTripMs - queuedMs;
    this.unqueuedMs += (unqueuedMs - this.unqueuedMs) / (this.unqueuedMs === 0 ? 1 : 8);
    return queuedMs;
  }

  private observeRate(mark: SentMark, nowMs: number): void {
    if (mark.deliveredBytes >= this.roundTripEnd) {
      this.roundTrips++;
      this.roundTripEnd = this.delivered;
    }
    const intervalMs = Math.max(nowMs - mark.deliveredAtMs, mark.atMs - mark.deliveredSentAtMs);
    const bytes = this.delivered - mark.deliveredBytes;
    if (intervalMs < this.roundTripMs || (mark.starved && bytes < this.options.leastBytes)) return;
    const rate = bytes / intervalMs;
    if (rate < this.bestRate && this.roundTrips - this.bestRateRoundTrip < RATE_MEMORY_ROUND_TRIPS) return;
    this.bestRate = rate;
    this.bestRateRoundTrip = this.roundTrips;
    if (rate < 1.25 * this.grownRate) return;
    this.grownRate = rate;
    this.grownRoundTrip = this.roundTrips;
  }
}
