import { EXIT_CODES, LongtailError } from '@longtail/core';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Ctrl-C: the first asks for an orderly end through `signal`, the second ends the process at once, after `onForce`.
 * Until `restore` this process no longer dies of these signals.
 */
export class Interruption {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private readonly listener = () => this.interrupt();

  constructor(
    private readonly onFirst: () => void,
    private readonly onForce: () => void = () => undefined,
  ) {
    this.signal = this.controller.signal;
    for (const name of SIGNALS) process.on(name, this.listener);
  }

  restore(): void {
    for (const name of SIGNALS) process.off(name, this.listener);
  }

  private interrupt(): void {
    if (this.signal.aborted) {
      this.onForce();
      process.exit(EXIT_CODES.cancelled);
    }
    this.onFirst();
    this.controller.abort(new LongtailError('interrupted', { code: 'cancelled' }));
  }
}
