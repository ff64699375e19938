import type { HostTensor } from '@longtail/core';
import type { Place, SharedPart, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import type { StageInbox } from './stage-inbox.js';
import type { StageOutbox } from './stage-outbox.js';

/** What the workers of a group tell each other at an inner step: whether it is taken, gradients of what several hold, norms, sums of such gradients. */
const ABOUT = { begin: 0, gradient: 1, norm: 2, sum: 3 } as const;

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
   * stage its replicas. Each value is added up in the order of the workers, so that all who hold it have the same bits. Two holders
   * send each other all of it; of more, each adds up its own part and sends all the others the sum.
   */
  async addShared(step: number, gradient: Float32Array): Promise<void> {
    const { worker, workers } = this.place;
    const spans = spansOf(this.task.shared);
    const toAdd = (from: number, adder: number) => spans.filter(({ holders, adders }) => holders.includes(from) && adders.includes(adder));
    const added = (adder: number, to: number) => toAdd(to, adder).filter(({ adders }) => !adders.includes(to));
    for (const other of this.others) this.tellValues(step, 'gradient', other, gradient, toAdd(worker, other));
    const own = gather(gradient, toAdd(worker, worker));
    for (const { start, length } of toAdd(worker, worker)) gradient.fill(0, start, start + length);
    for (let one = 0; one < workers; one++) {
      const values = one === worker ? own : await this.takeValues(step, 'gradient', one, toAdd(one, worker));
      eachPart(gradient, toAdd(one, worker), values, add);
    }
    for (const other of this.others) this.tellValues(step, 'sum', other, gradient, added(worker, other));
    for (const other of this.others) {
      const sums = await this.takeValues(step, 'sum', other, added(other, worker));
      eachPart(gradient, added(other, worker), sums, (part, sum) => part.set(sum));
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

  private tellValues(step: number, about: keyof typeof ABOUT, to: number, vector: Float32Array, spans: readonly Span[]): void {
    if (spans.length > 0) this.tell(step, about, to, gather(vector, spans));
  }

  private takeValues(step: number, about: keyof typeof ABOUT, from: number, spans: readonly Span[]): Promise<Float32Array> | Float32Array {
    return spans.length > 0 ? this.take(step, about, from) : NOTHING;
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

/** Values of a worker's vector that several hold. */
interface Span {
  readonly start: number;
  readonly length: number;
  readonly holders: readonly number[];
  /** Of the holders, those who add the values up. */
  readonly adders: readonly number[];
}

const NOTHING = new Float32Array(0);

/** Of two holders each adds up all that both hold: a hop less than in parts, and as many bytes. Of more each has an equal part (Thakur et al. 2005). */
function spansOf(shared: readonly SharedPart[]): readonly Span[] {
  const spans = shared.flatMap(({ start, length, holders }): readonly Span[] => {
    if (holders.length === 2) return [{ start, length, holders, adders: holders }];
    const cut = (owner: number) => Math.floor((owner * length) / holders.length);
    return holders.map((holder, owner) => ({ start: start + cut(owner), length: cut(owner + 1) - cut(owner), holders, adders: [holder] }));
  });
  return spans.filter(({ length }) => length > 0);
}

/** A copy of the spans' values, one behind the other. */
function gather(vector: Float32Array, spans: readonly Span[]): Float32Array {
  const values = new Float32Array(spans.reduce((sum, { length }) => sum + length, 0));
  eachPart(vector, spans, values, (part, copy) => copy.set(part));
  return values;
}

/** Each span's part of the vector, with its values of those that lie one behind the other. */
function eachPart(vector: Float32Array, spans: readonly Span[], values: Float32Array, use: (part: Float32Array, values: Float32Array) => void): void {
  let at = 0;
  for (const { start, length } of spans) use(vector.subarray(start, start + length), values.subarray(at, (at += length)));
}

function add(part: Float32Array, more: Float32Array): void {
  for (let i = 0; i < part.length; i++) part[i]! += more[i]!;
}
