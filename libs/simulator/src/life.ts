import type { Clock, ConnectionHandlers } from '@longtail/core';

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
    return new Promise((resolve, reject) => void promise.then(this.unlessOver(resolve), this.unlessOver(reject)));
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
