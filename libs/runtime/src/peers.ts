import type { HostTensor } from '@longtail/core';
import type { Place, SharedPart, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import type { StageInbox } from './stage-inbox.js';
import type { StageOutbox } from './stage-outbox.js';

/** What the workers of a group tell each other at an inner step: whether it is taken, gradients of what several hold, norms. */
const ABOUT = { begin: 0, gradient: 1, norm: 2 } as const;

/** The worker that decides for its group. */
const FIRST = 0;

/** The other workers of a group, at one task that has inner steps. */
export class Peers {
  private readonly sends: FanOut;

  constructor(
    private readonly place: Place,
    private readonly task: Task,
    private readonly inbox: StageInbox,
    private readonly outbox: Pick<StageOutbox, 'send'>,
    private readonly signal: AbortSignal,
  ) {
    this.sends = new FanOut(signal);
  }

  /** Whether the group takes the step: its first worker decides, by `wanted`, so that all end with the same one. */
  async begin(step: number, wanted: boolean): Promise<boolean> {
    if (this.place.worker !== FIRST) return (await this.take(step, 'begin', FIRST))[0] === 1;
    for (const worker of this.others) this.tell(step, 'begin', worker, Float32Array.of(wanted ? 1 : 0));
    return wanted;
  }

  /**
   * Adds to a worker's gradient sum what others have of the parts that they hold too: of a tied parameter the other stage, of a
   * stage its replicas. In the order of the workers, so that all who hold a part come to the same bits.
   */
  async addShared(step: number, gradient: Float32Array): Promise<void> {
    const { shared } = this.task;
    const sharers = this.others.filter((worker) => shared.some(({ holders }) => holders.includes(worker)));
    const theirs = new Map([[this.place.worker, gather(gradient, shared)]]);
    for (const worker of sharers) this.tell(step, 'gradient', worker, gather(gradient, sharedWith(shared, worker)));
    for (const worker of sharers) theirs.set(worker, await this.take(step, 'gradient', worker));
    const next = new Map<number, number>();
    for (const { start, length, holders } of shared) {
      const sum = gradient.subarray(start, start + length).fill(0);
      for (const worker of holders) {
        const from = next.get(worker) ?? 0;
        next.set(worker, from + length);
        const values = theirs.get(worker)!.subarray(from, from + length);
        for (let i = 0; i < length; i++) sum[i]! += values[i]!;
      }
    }
  }

  /** Root of the sum of squares of what each worker says, in float32; all come to the same bits. */
  async norm(step: number, own: number): Promise<number> {
    const { worker, workers } = this.place;
    for (const other of this.others) this.tell(step, 'norm', other, Float32Array.of(own));
    let sum = 0;
    for (let one = 0; one < workers; one++) sum += (one === worker ? Math.fround(own) : (await this.take(step, 'norm', one))[0]!) ** 2;
    return Math.sqrt(sum);
  }

  private get others(): readonly number[] {
    const { worker, workers } = this.place;
    return Array.from({ length: workers }, (_, other) => other).filter((other) => other !== worker);
  }

  private tell(step: number, about: keyof typeof ABOUT, to: number, values: Float32Array): void {
    const tensor: HostTensor = { dtype: 'float32', shape: [values.length], data: values };
    const output = { kind: 'peer', stage: this.place.worker, fragment: ABOUT[about], to, tensor } as const;
    // Called off, or the session ended: whoever waits for it is told by that.
    void this.sends.run((signal) => this.outbox.send(this.task, step, output, signal)).catch(() => undefined);
  }

  private async take(step: number, about: keyof typeof ABOUT, from: number): Promise<Float32Array> {
    const { data } = await this.inbox.take({ task: this.task.task, step }, 'peer', from, ABOUT[about], this.signal);
    return data as Float32Array;
  }
}

function sharedWith(shared: readonly SharedPart[], worker: number): readonly SharedPart[] {
  return shared.filter(({ holders }) => holders.includes(worker));
}

/** A copy of the parts, one behind the other. */
function gather(vector: Float32Array, parts: readonly SharedPart[]): Float32Array {
  const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const { start, length } of parts) {
    values.set(vector.subarray(start, start + length), at);
    at += length;
  }
  return values;
}
