import type { Clock } from '@longtail/core';
import type { Mortal } from './endpoint.js';

const NEVER = new Promise<never>(() => undefined);

/** A process of the simulation: once it has been killed, nothing that it waits for comes to pass. */
export class Life implements Mortal {
  readonly clock: Clock;
  private over = false;

  constructor(clock: Clock) {
    this.clock = {
      nowMs: () => clock.nowMs(),
      sleep: (ms, signal) => this.wait(clock.sleep(ms, signal)),
      timer: (ring) => clock.timer(() => this.over || ring()),
    };
  }

  get isOver(): boolean {
    return this.over;
  }

  end(): void {
    this.over = true;
  }

  /** Of something outside of it. */
  private wait<T>(promise: Promise<T>): Promise<T> {
    return promise.then(
      (value) => (this.over ? NEVER : value),
      (error: unknown) => (this.over ? NEVER : Promise.reject(error as Error)),
    );
  }
}
