import { disjoint, LongtailError, type Codec, type Compute, type Loan, type Prepared, type TensorChunk, type TensorHeader, type VectorRange } from '@longtail/core';
import { partOf } from './grid.js';

/**
 * Parameters and optimizer state of a worker: what is in memory, of which version, and what is on its way in. Says when
 * a task's inputs are there, and hands them to the device when they are new to it.
 */
export class WorkerInbox {
  private readonly parameters: Intake;
  private madeState: readonly Intake[] | undefined;
  /** The device's own result, which needs no loading: the version it will be unless the server refuses it. */
  private own: { readonly task: number; readonly version: number; refused: boolean } | undefined;
  /** The generation of the parameters that the device was last given; 0: of none. */
  private loaded = 0;

  constructor(
    private readonly prepared: Prepared,
    private readonly compute: Compute,
    private readonly codecs: readonly Codec[],
    private readonly chunkLength: number,
    /** Transfers up to this number belong to an earlier place of the worker. @default 0 */
    private readonly afterTransfer = 0,
  ) {
    this.parameters = new Intake(prepared.parameters, chunkLength, codecs, afterTransfer, compute.loadLent !== undefined);
  }

  /** Asked for by those who step alone: others have no use for the memory. */
  private get state(): readonly Intake[] {
    const { prepared, codecs, chunkLength, afterTransfer } = this;
    return (this.madeState ??= prepared.state.map((vector) => new Intake(vector, chunkLength, codecs, afterTransfer)));
  }

  /** Writes a chunk where it belongs. Throws LongtailError `protocol` for one that fits nowhere. */
  take({ header, payload, loan }: TensorChunk): void {
    const intake = header.kind === 'state' ? this.state[header.fragment] : this.parameters;
    if (intake === undefined) throw new LongtailError(`no ${header.kind} ${header.fragment} belongs to this model`, { code: 'protocol' });
    if (intake.take(header, payload, loan, this.own?.version)) this.own = undefined;
  }

  /** Fresh parameters were drawn on this worker: they are version 0. */
  drew(): void {
    this.parameters.fill(0);
  }

  /** Local steps ended: memory holds the result, which will be this version. */
  stepped(task: number, version: number): void {
    for (const intake of [this.parameters, ...this.state]) intake.overwritten();
    this.own = { task, version, refused: false };
  }

  /** A receipt came. A result that was refused is no version: the server sends one. */
  judged(task: number, accepted: boolean): void {
    if (this.own?.task === task) this.own.refused = !accepted;
  }

  /** What the device holds counts for nothing. */
  disown(): void {
    for (const intake of [this.parameters, ...this.state]) intake.overwritten();
    this.own = undefined;
  }

  /** The device stepped away from the parameters that it was given. */
  moved(): void {
    this.loaded = 0;
  }

  /** What came in last, wherever it lies. */
  get values(): Float32Array {
    return this.parameters.values;
  }

  private owns(version: number): boolean {
    return this.own?.version === version && !this.own.refused;
  }

  hasParameters(version: number): boolean {
    return this.owns(version) || this.parameters.version === version || this.prepared.parameters.length === 0;
  }

  /** A version that is this or newer, for a stream to begin at. */
  hasReached(version: number): boolean {
    return (this.parameters.version ?? -1) >= version;
  }

  /** Parts came since the last `takeArrived`, and none is on its way in, as that may be the same. */
  get hasArrived(): boolean {
    return this.parameters.version !== undefined && this.parameters.arrived.length > 0;
  }

  /** Each value once, whatever came of it again. */
  takeArrived(): readonly VectorRange[] {
    this.parameters.settle();
    const { arrived } = this.parameters;
    this.parameters.arrived = NONE;
    return disjoint(arrived);
  }

  /** The device begins a stream with the parameters, whatever it had. */
  async startStream(): Promise<void> {
    this.parameters.arrived = NONE;
    this.parameters.settle();
    this.moved();
    await this.compute.startStream();
  }

  /** For local steps: parameters in full precision, and the moments that belong to them. */
  hasAll(version: number, optimizerSteps: number): boolean {
    if (this.owns(version)) return true;
    const stateThere = optimizerSteps === 0 || this.state.every((intake) => intake.version === version);
    return this.parameters.version === version && this.parameters.exact && stateThere;
  }

  /** Gives the device the parameters; without a promise it has them now. */
  loadParameters(version: number): Promise<void> | void {
    if (this.owns(version) || this.loaded === this.parameters.generation) return;
    const { generation, values, loan } = this.parameters;
    this.parameters.arrived = NONE;
    const given = loan === undefined ? this.compute.loadParameters() : this.compute.loadLent!(values, loan);
    if (given !== undefined) return given.then(() => this.gave(generation));
    this.gave(generation);
  }

  private gave(generation: number): void {
    this.loaded = generation;
  }

  /** Gives the device parameters and moments unless it has them. */
  async loadAll(version: number, optimizerSteps: number): Promise<void> {
    if (this.owns(version)) return;
    await this.loadParameters(version);
    if (optimizerSteps === 0) for (const vector of this.prepared.state) vector.fill(0);
    await this.compute.loadState(optimizerSteps);
  }
}

const NONE: readonly never[] = [];

/** What a kind of tensor makes of the parameters: it follows the version before, adds to it, is a part of it. */
const NATURES: Partial<Record<TensorHeader['kind'], { readonly follows: boolean; readonly isDifference: boolean; readonly isPart: boolean }>> = {
  difference: { follows: true, isDifference: true, isPart: false },
  fragment: { follows: true, isDifference: false, isPart: true },
  'fragment-difference': { follows: true, isDifference: true, isPart: true },
};
const WHOLE = { follows: false, isDifference: false, isPart: false };

/** Of a chunk, while it is added. */
let decoded = new Float32Array(0);

/** A vector that is written chunk by chunk, in one tensor or in several that say where they lie, and a part of it in one. */
class Intake {
  /** Of the whole vector; undefined while some of it is on its way in. */
  version: number | undefined;
  /** Came in float32. */
  exact = false;
  /** Grows with every transfer that comes in whole. */
  generation = 0;
  /** What came in whole, for whoever takes it from here. */
  arrived: readonly VectorRange[] = NONE;
  private readonly whole: readonly VectorRange[];
  /** Where chunks of this transfer began, `count` of them, the first and those behind it: most have one. A Set that is cleared makes a table anew, to which the old one points, for good in V8's old generation. */
  private first = 0;
  private seen: number[] | undefined;
  private count = 0;
  /** Values of the whole vector, or chunks of a part. */
  private missing: number;
  /** What is on its way in, where it is a part. */
  private part: VectorRange | undefined;
  private transfer: number;
  /** Where the values are: its own, or lent ones. */
  values: Float32Array;
  /** Of the values, which are held. */
  loan: Loan | undefined;

  constructor(
    private readonly own: Float32Array,
    private readonly chunkLength: number,
    private readonly codecs: readonly Codec[],
    afterTransfer: number,
    private readonly mayBorrow = false,
  ) {
    this.values = own;
    this.missing = own.length;
    this.whole = [{ start: 0, length: own.length }];
    this.transfer = afterTransfer + 1;
  }

  /** True when it counts; false for a chunk that is stale or came before. `own`: the version of what is in memory by other means. */
  take(header: TensorHeader, payload: Uint8Array, loan: Loan | undefined, own?: number): boolean {
    if (header.task < this.transfer) return false;
    const codec = this.codecs.find(({ id }) => id === header.codec);
    if (!this.fits(header) || codec === undefined) {
      throw new LongtailError(`chunk ${header.chunk} of ${header.chunks} of ${header.kind} does not fit the model`, {
        code: 'protocol',
        hint: 'Run the same version of Longtail on the server and on the worker.',
      });
    }
    const { follows, isDifference, isPart } = NATURES[header.kind] ?? WHOLE;
    if (header.task > this.transfer || this.count === 0) {
      if (follows && (this.version ?? own) !== header.baseVersion - 1) throw this.noBase(header);
      this.restart(header, isPart);
      if (follows) this.settle();
      else this.giveBack();
      if (loan !== undefined && !follows && codec.name === 'fp32') this.borrow(header, payload, loan);
    }
    const from = header.start + header.offset;
    if (this.isHere(from)) return false;
    if (isDifference) this.add(partOf(this.values, from, header.length), payload, codec);
    else if (!this.liesAt(from, payload)) {
      this.settle();
      codec.decode(payload, partOf(this.values, from, header.length));
    }
    if (this.count === 0) this.first = from;
    else (this.seen ??= [])[this.count - 1] = from;
    this.count++;
    if (this.part === undefined) this.missing -= header.length;
    else {
      this.missing--;
      this.part = { ...this.part, length: this.part.length + header.length };
    }
    if (this.missing === 0) this.complete(header.baseVersion, codec.name === 'fp32' && !follows);
    return true;
  }

  private isHere(from: number): boolean {
    if (this.count > 0 && this.first === from) return true;
    for (let i = 1; i < this.count; i++) if (this.seen![i - 1] === from) return true;
    return false;
  }

  /** The values are the sender's from here on, where the tensor is all of them, as they are. */
  private borrow({ start, offset, chunks }: TensorHeader, { buffer, byteOffset }: Uint8Array, loan: Loan): void {
    const { length } = this.own;
    const at = byteOffset - 4 * offset;
    if (!this.mayBorrow || start > 0 || chunks !== Math.ceil(length / this.chunkLength) || at % 4 !== 0 || at + 4 * length > buffer.byteLength) return;
    this.values = new Float32Array(buffer, at, length);
    this.loan = loan;
    loan.hold();
  }

  private liesAt(from: number, { buffer, byteOffset }: Uint8Array): boolean {
    return this.loan !== undefined && buffer === this.values.buffer && byteOffset === this.values.byteOffset + 4 * from;
  }

  /** The values are its own, whatever is in them. */
  private giveBack(): void {
    this.loan?.release();
    this.loan = undefined;
    this.values = this.own;
  }

  /** The values are its own. */
  settle(): void {
    if (this.loan === undefined) return;
    this.own.set(this.values);
    this.giveBack();
  }

  private add(values: Float32Array, payload: Uint8Array, codec: Codec): void {
    if (decoded.length < values.length) decoded = new Float32Array(values.length);
    const difference = partOf(decoded, 0, values.length);
    codec.decode(payload, difference);
    for (let i = 0; i < values.length; i++) values[i]! += difference[i]!;
  }

  private noBase({ baseVersion }: TensorHeader): LongtailError {
    return new LongtailError(`a difference or fragment leads to version ${baseVersion}, this worker does not hold the one before`, { code: 'protocol' });
  }

  /** Chunks of one length, but for the last one, all of them within the vector. */
  private fits({ chunk, chunks, start, offset, length }: TensorHeader): boolean {
    const last = chunk === chunks - 1;
    const whole = last ? length > 0 && length <= this.chunkLength : length === this.chunkLength;
    const leastEnd = start + (chunks - 1) * this.chunkLength + (last ? length : 1);
    return whole && offset === chunk * this.chunkLength && leastEnd <= this.values.length;
  }

  /** The vector was filled by other means, as if it had come in. */
  fill(version: number): void {
    this.giveBack();
    this.complete(version, true);
  }

  /** The vector was filled with something else. */
  overwritten(): void {
    this.giveBack();
    this.version = undefined;
  }

  private restart({ task, chunks, start }: TensorHeader, isPart: boolean): void {
    this.transfer = task;
    this.version = undefined;
    this.count = 0;
    this.part = isPart ? { start, length: 0 } : undefined;
    this.missing = isPart ? chunks : this.values.length;
  }

  private complete(version: number, exact: boolean): void {
    this.version = version;
    this.exact = exact;
    this.generation++;
    this.arrived = this.part === undefined ? this.whole : [...this.arrived, this.part];
  }
}
