import type { Clock, ConnectionHandlers } from '@longtail/core';

const NEVER = new Promise<never>(() => undefined);

/** A process of the simulation: once it has been killed, nothing that it waits for comes to pass. */
export class Life {
  readonly clock: Clock;
  private over = false;

  constructor(clock: Clock) {
    this.clock = {
      nowMs: () => clock.nowMs(),
      sleep: (ms, signal) => this.wait(clock.sleep(ms, signal)),
    };
  }

  get isOver(): boolean {
    return this.over;
  }

  end(): void {
    this.over = true;
  }

  /** Of something outside of it. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return promise.then(
      (value) => (this.over ? NEVER : value),
      (error: unknown) => (this.over ? NEVER : Promise.reject(error as Error)),
    );
  }

  /** A connection of which it hears nothing then. */
  guard<Message>({ message, place, tensor, closed }: ConnectionHandlers<Message>): ConnectionHandlers<Message> {
    return {
      message: this.unlessOver(message),
      place: (header, bytes) => (this.over || place === undefined ? 'borrow' : place(header, bytes)),
      tensor: (chunk) => (this.over ? undefined : tensor(chunk)),
      closed: this.unlessOver(closed),
    };
  }

  private unlessOver<Argument>(act: (argument: Argument) => void): (argument: Argument) => void {
    return (argument) => {
      if (!this.over) act(argument);
    };
  }
}
