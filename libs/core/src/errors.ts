/** What went wrong, as a stable word that scripts may test for. */
export type ErrorCode =
  | 'usage'
  | 'invalid-file'
  | 'invalid-data'
  | 'missing-file'
  | 'checksum'
  | 'engine'
  | 'unreachable'
  | 'address-in-use'
  | 'protocol'
  | 'refused'
  | 'storage'
  | 'diverged'
  | 'timeout'
  | 'no-plan'
  | 'differs'
  | 'cancelled'
  | 'internal';

/** Exit code of the process for each error; documented in docs/operating.md. */
export const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  internal: 1,
  usage: 2,
  'invalid-file': 3,
  'invalid-data': 4,
  'missing-file': 4,
  checksum: 4,
  engine: 5,
  unreachable: 6,
  'address-in-use': 6,
  protocol: 6,
  refused: 6,
  storage: 7,
  diverged: 8,
  timeout: 9,
  'no-plan': 10,
  differs: 11,
  cancelled: 130,
};

export interface ErrorDetails {
  readonly code: ErrorCode;
  /** What the user can do about it: one sentence. */
  readonly hint?: string;
  /** The file, field or peer it is about, e.g. `job.yaml:12:3 model.layers`. */
  readonly where?: string;
  readonly cause?: unknown;
}

/**
 * An error that a user can meet: `message` says what was wrong, `where` at which place, `hint` what to do.
 * Programmer errors are plain `Error`s and show a stack trace.
 */
export class LongtailError extends Error {
  override readonly name = 'LongtailError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly where: string | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.hint = details.hint;
    this.where = details.where;
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }

  /** The error as it crosses a process or thread boundary. */
  toWire(): WireError {
    return { code: this.code, message: this.message, hint: this.hint ?? '', where: this.where ?? '' };
  }

  static fromWire(wire: WireError): LongtailError {
    const code = Object.hasOwn(EXIT_CODES, wire.code) ? (wire.code as ErrorCode) : 'internal';
    return new LongtailError(wire.message, { code, hint: wire.hint || undefined, where: wire.where || undefined });
  }

  /** Any thrown value as a `LongtailError`; what is not one yet becomes `internal`. */
  static from(error: unknown, code: ErrorCode = 'internal'): LongtailError {
    if (error instanceof LongtailError) return error;
    return new LongtailError(error instanceof Error ? error.message : String(error), { code, cause: error });
  }
}

export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly where: string;
}

/** The candidate nearest to `name` by edit distance, or undefined when none is near enough to suggest. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Of an other end that is not there, or says nothing, as one does that is stopped or too busy: it may be tried again. */
export function isAway({ code }: LongtailError): boolean {
  return code === 'unreachable' || code === 'timeout';
}
