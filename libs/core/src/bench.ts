/** How a bench runs: real processes; real arithmetic in virtual time; no arithmetic at all. */
export type BenchMode = 'live' | 'virtual' | 'timing';

/** A machine of the fleet as it was described. */
export interface BenchNode {
  readonly name: string;
  /** `RTX 3060`, or how its profile was given. */
  readonly device: string;
  /** Its link is the one of all machines with the same word here. */
  readonly site?: string | undefined;
  readonly watts: number;
  /** List price; undefined where it is not sold by itself. */
  readonly dollars?: number | undefined;
}

/** To the server: bit/s up and down, round trip in milliseconds. */
export interface BenchLink {
  readonly up: number;
  readonly down: number;
  readonly rtt: number;
}

/** Links as a seed drew them, at a value of the knob. */
export interface BenchLinks {
  readonly seed: number;
  readonly knob?: string | undefined;
  /** In the order of `BenchResult.nodes`. */
  readonly links: readonly BenchLink[];
}

/** What one way of training came to, for one seed and one value of the knob that is swept. */
export interface BenchArm {
  readonly name: string;
  /** In which it differs from the others: `strategy`, `codec`, `planner`, `schedule`, ... */
  readonly settings: Readonly<Record<string, string>>;
  readonly seed: number;
  /** Of the knob that is swept, as the user wrote it. */
  readonly knob?: string | undefined;
  readonly outcome: BenchOutcome | BenchRefusal;
}

/** An arm that could not run: the others are not touched by it. */
export interface BenchRefusal {
  readonly status: 'refused' | 'failed';
  readonly reason: string;
}

export interface BenchOutcome {
  readonly status: 'done';
  readonly summary: BenchSummary;
  /** What bounds it, in a sentence. */
  readonly bottleneck: string;
  /** Of the validation and, between, of the training loss; empty without arithmetic. */
  readonly loss: readonly BenchLossPoint[];
  /** In the order of `BenchResult.nodes`; a node that never took part is all zero. */
  readonly nodes: readonly BenchNodeOutcome[];
  /** A few rounds from the middle of the run. */
  readonly spans: readonly BenchSpan[];
  /** Fraction of each window that a node computed, node by node in the order of `BenchResult.nodes`; NaN is null in JSON: it was not there. */
  readonly utilisation: { readonly windowMs: number; readonly rows: readonly (readonly (number | null)[])[] };
}

export interface BenchSummary {
  /** Undefined: the target was not reached, or none was given. */
  readonly timeToTargetMs?: number | undefined;
  readonly finalLoss?: number | undefined;
  readonly wallMs: number;
  readonly rounds: number;
  readonly samples: number;
  readonly samplesPerSecond: number;
  /** Time computing / time here, over all nodes. */
  readonly utilisation: number;
  /** Of pipelines, the fraction of their time that stages wait for each other; undefined without one. */
  readonly bubble?: number | undefined;
  /** Mean over nodes. */
  readonly bytesUpPerNode: number;
  readonly bytesDownPerNode: number;
  /** Versions, mean over contributions. */
  readonly staleness: number;
  /** Samples computed that came to nothing. */
  readonly lostSamples: number;
  readonly energyWattHours: number;
  /** Of the energy and of the machines' wear over three years, as the scenario prices them. */
  readonly costDollars: number;
}

export interface BenchLossPoint {
  readonly timeMs: number;
  readonly samples: number;
  /** Up and down, over the whole fleet. */
  readonly bytes: number;
  readonly loss: number;
  readonly kind: 'training' | 'validation';
}

/** Computing, sending and waiting add up to the time that it was here, where what is sent beside computing counts as computing. */
export interface BenchNodeOutcome {
  readonly hereMs: number;
  readonly computeMs: number;
  readonly sendMs: number;
  readonly waitMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly samples: number;
}

export interface BenchSpan {
  readonly node: number;
  readonly kind: 'compute' | 'send' | 'receive' | 'wait';
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a bench found: `result.json` in its folder. */
export interface BenchResult {
  readonly version: 2;
  readonly scenario: string;
  readonly description: string;
  readonly mode: BenchMode;
  readonly nodes: readonly BenchNode[];
  /** Of each seed at each value of the knob. */
  readonly links: readonly BenchLinks[];
  readonly targetLoss?: number | undefined;
  /** `link.up`, and the values in order. */
  readonly sweep?: { readonly knob: string; readonly values: readonly string[] } | undefined;
  readonly arms: readonly BenchArm[];
  /** Of a live bench: what virtual time says of the same arms, in the same order; undefined: nobody asked. */
  readonly predicted?: readonly BenchArm[] | undefined;
  /** Undefined: no arm ran. */
  readonly winner?: { readonly arm: string; readonly reason: string } | undefined;
}
