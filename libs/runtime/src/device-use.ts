/** Calls of the device that may read or write what is in `Prepared`: nothing of the server's parameters is put away before they are done. */
export class DeviceUse {
  private calls = 0;
  private wake: (() => void) | undefined;
  private waiting: Promise<void> | undefined;

  get busy(): boolean {
    return this.calls > 0;
  }

  begin(): void {
    this.calls++;
  }

  end(): void {
    if (--this.calls > 0) return;
    this.wake?.();
    this.waiting = undefined;
  }

  async during<T>(call: Promise<T>): Promise<T> {
    this.begin();
    try {
      return await call;
    } finally {
      this.end();
    }
  }

  /** Resolves when no call is under way. */
  async free(): Promise<void> {
    while (this.busy) await (this.waiting ??= new Promise((resolve) => (this.wake = resolve)));
  }
}
