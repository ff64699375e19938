/** One that the device works on, and the one behind it. */
const DEPTH = 2;

/**
 * Passes that the device was given: the next one before the present one is done, so that the device goes from one to the
 * other by itself. They end in the order in which they were given, or all with the first failure.
 */
export class PassQueue {
  private readonly underWay: Promise<void>[] = [];
  private fail!: (reason: unknown) => void;
  private readonly failed = new Promise<never>((_, reject) => (this.fail = reject));

  constructor() {
    this.failed.catch(() => undefined);
  }

  /** Resolves when there is room for the next one; rejects as the first pass that fails. */
  async add(pass: Promise<void>): Promise<void> {
    this.underWay.push(pass);
    pass.then(() => void this.underWay.shift(), this.fail);
    if (this.underWay.length === DEPTH) await this.unlessFailed(this.underWay[0]!);
  }

  /** What `wait` gives; rejects as the first pass that fails meanwhile, as then nobody needs it. */
  unlessFailed<T>(wait: Promise<T>): Promise<T> {
    return Promise.race([wait, this.failed]);
  }

  /** Resolves when all passes are done; rejects as the first one that failed. */
  async drained(): Promise<void> {
    await this.unlessFailed(Promise.all(this.underWay));
  }
}
