const ABORT = 0;
const STOP = 1;

/**
 * Two flags that one thread raises and another looks at while it computes: `abort` drops a call, `stop` ends it early.
 * They lie in shared memory because a thread that computes reads no messages.
 */
export class Interrupts {
  private readonly flags: Int32Array;

  constructor(readonly memory: SharedArrayBuffer = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)) {
    this.flags = new Int32Array(memory);
  }

  get aborted(): boolean {
    return Atomics.load(this.flags, ABORT) === 1;
  }

  get stopped(): boolean {
    return Atomics.load(this.flags, STOP) === 1;
  }

  abort(): void {
    this.raise(ABORT);
  }

  stop(): void {
    this.raise(STOP);
  }

  /** Before a call; nobody may be computing. */
  clear(): void {
    Atomics.store(this.flags, ABORT, 0);
    Atomics.store(this.flags, STOP, 0);
  }

  /** Throws `CallAborted` once `abort` was raised. */
  throwIfAborted(): void {
    if (this.aborted) throw new CallAborted();
  }

  /** Blocks the calling thread for `ms`, or until `abort` is raised. */
  pause(ms: number): void {
    Atomics.wait(this.flags, ABORT, 0, ms);
  }

  private raise(flag: number): void {
    Atomics.store(this.flags, flag, 1);
    Atomics.notify(this.flags, flag);
  }
}

/** The call was dropped because its caller wanted so: not an error of the device. */
export class CallAborted extends Error {
  override readonly name = 'CallAborted';
}
