/** Time as the runtime sees it: the wall clock live, a virtual clock in the simulator. */
export interface Clock {
  /** Milliseconds since an arbitrary origin; never goes backwards. */
  nowMs(): number;
  /** Resolves after `ms`; rejects with `signal.reason` when aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** For who waits again and again, most of the time not to the end: nothing is made for a wait. Calls `ring` each time that it has run out. */
  timer(ring: () => void): Timer;
}

/** Runs out once each time that it is set. */
export interface Timer {
  /** In `ms` from now, and not when it was to before. */
  set(ms: number): void;
  /** It does not run out, if it was to. */
  clear(): void;
}
