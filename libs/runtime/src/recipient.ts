import { LongtailError, type Clock, type OutgoingTensor, type TensorKind } from '@longtail/core';
import type { EncodedTensor } from './encoded-tensor.js';
import { FanOut, type Wait } from './fan-out.js';
import type { Session } from './membership.js';
import { roomOf, type Published } from './outgoing-parameters.js';
import type { ServedFile } from './ports.js';
import type { HeldSegment } from './segments.js';

export interface RecipientHost {
  readonly run: string;
  readonly clock: Clock;
  readonly files: readonly ServedFile[];
  /** Something about a member changed: whoever waits should look again. */
  changed(): void;
  /** Something came of a task, or all that was on its way to a member is there: whoever waits for that should look again. */
  advanced(task?: number): void;
  fail(error: LongtailError): void;
}

/** Bytes a chunk of a file. */
const FILE_CHUNK_BYTES = 1 << 20;

/** Parameters as the worker has them: of a view, where a line is named. */
type Held = Pick<Published, 'version' | 'exact' | 'line'>;

/** What is sent one after the other, each to be acknowledged before the next. */
interface Sending {
  /** What the worker holds in the end. */
  target: Published;
  queue: readonly Published[];
  readonly streams: FanOut;
}

/** A tensor of a transfer, whose number lets the worker tell it from stale chunks of an older one. */
interface Stream {
  readonly kind: TensorKind;
  readonly fragment: number;
  readonly start: number;
  readonly tensor: EncodedTensor;
  readonly transfer: number;
}

/** Given so that no DOMException with a stack is made for every version. */
const OUTDATED = new Error('a newer version is there');

/** The part of a member that vectors and files are sent to: what it holds of the model, and what is on its way. */
export class Recipient<Host extends RecipientHost = RecipientHost> {
  /** Its number among the group's workers. */
  worker = 0;
  /** Where the segments lie in its vector; set with every cut of the model. */
  segments: readonly HeldSegment[] = [];
  /** Version of the optimizer state on the worker; undefined when it has none that counts. */
  heldState: number | undefined;
  /** Number of the last transfer of a vector. */
  protected transfers = 0;
  /** The last one before it was asked what was sent. */
  private transfersBefore = 0;
  private held: Held | undefined;
  private sending: Sending | undefined;
  /** Of versions; those that are not wanted any more are given up together. */
  private versions = new FanOut();
  /** Of all else. */
  private streams = new FanOut();
  private vectorsOnTheWay = 0;
  private vectorsArrivedAtMs = 0;

  constructor(
    readonly session: Session,
    protected readonly host: Host,
  ) {}

  get run(): string {
    return this.host.run;
  }

  holds(version: number, exact: boolean): boolean {
    return this.held?.version === version && (this.held.exact || !exact);
  }

  /** The worker's own result became that version: parameters and optimizer state are there already. */
  ownsVersion(version: number): void {
    this.held = { version, exact: true };
    this.heldState = version;
  }

  /** Nothing is known any more of what the worker has in memory. */
  forgetHeld(): void {
    this.held = undefined;
    this.heldState = undefined;
  }

  /** Vectors were sent since it was asked last, or are on their way. */
  takeSupplied(): boolean {
    const supplied = this.transfers > this.transfersBefore || !this.settled;
    this.transfersBefore = this.transfers;
    return supplied;
  }

  /** No parameters or state are on their way: what it holds is what was sent last. */
  get settled(): boolean {
    return this.vectorsOnTheWay === 0;
  }

  /** When the last of them arrived; undefined while they are on their way. */
  get settledAtMs(): number | undefined {
    return this.settled ? this.vectorsArrivedAtMs : undefined;
  }

  /**
   * Starts to send parameters unless the worker has them or gets them already. Differences follow what it has, or what is on
   * its way to it; where they do not, an older version on its way is given up and parameters are sent whole.
   */
  supply(published: Published): void {
    const { sending } = this;
    if (this.holdsPublished(published) || (sending !== undefined && isOf(sending, published))) return;
    const rest = differencesFrom(sending?.target ?? this.held, published);
    if (sending !== undefined && rest !== undefined && worthFollowing([...sending.queue.slice(1), ...rest], published)) {
      sending.target = published;
      sending.queue = [...sending.queue, ...held(rest)];
      return;
    }
    if (sending !== undefined) this.giveUpVersions(OUTDATED);
    const queue = (sending === undefined ? rest : undefined) ?? [published.difference?.whole ?? published];
    const next: Sending = { target: published, queue: held(queue), streams: this.versions };
    this.sending = next;
    this.vectorsOnTheWay++;
    this.sendFirst(next);
  }

  private holdsPublished({ version, exact, line }: Published): boolean {
    return this.holds(version, exact) && this.held?.line === line;
  }

  /** Sends what is first in the queue, and when the worker has it what comes behind it. */
  private sendFirst(sending: Sending): void {
    this.held = undefined;
    const { kind, first, tensors } = sending.queue[0]!;
    const transfer = ++this.transfers;
    const all = new AllOf((acknowledged) => this.sentFirst(sending, acknowledged));
    for (const { segment, start } of this.segments) {
      const tensor = tensors[segment.index - first];
      if (tensor !== undefined) this.stream({ kind, fragment: segment.index, start, tensor, transfer }, sending.streams, all);
    }
    all.begun();
  }

  private sentFirst(sending: Sending, acknowledged: boolean): void {
    const { queue } = sending;
    if (this.sending === sending && acknowledged) {
      const { version, exact, line } = queue[0]!;
      this.held = { version, exact, line };
      if (queue.length > 1) {
        release(queue.slice(0, 1));
        sending.queue = queue.slice(1);
        return this.sendFirst(sending);
      }
    }
    release(queue);
    if (this.sending === sending) this.sending = undefined;
    this.arrived();
  }

  /** Sends the optimizer's vectors. */
  supplyState(state: readonly EncodedTensor[], version: number): void {
    this.heldState = undefined;
    this.vectorsOnTheWay++;
    const all = new AllOf((acknowledged) => {
      if (acknowledged) this.heldState = version;
      this.arrived();
    });
    for (const [fragment, tensor] of state.entries()) this.stream({ kind: 'state', fragment, start: 0, tensor, transfer: ++this.transfers }, this.streams, all);
    all.begun();
  }

  /** Vectors that were on their way are there, or given up. */
  private arrived(): void {
    this.vectorsArrivedAtMs = this.host.clock.nowMs();
    if (--this.vectorsOnTheWay === 0) this.host.advanced();
  }

  private stream({ kind, fragment, start, tensor, transfer }: Stream, streams: FanOut, all: AllOf): void {
    all.began(tensor);
    const { version: baseVersion, codecId: codec } = tensor;
    const header = { run: this.run, kind, stage: this.worker, fragment, task: transfer, round: 0, baseVersion, samples: 0, codec, name: '', start };
    const wait = streams.begin();
    const sent = this.session.connection.sendTensor(tensor.outgoing(header), wait.signal);
    // Rejects where it was given up, or the link ended: `closed` tells why.
    sent.then(() => all.ended(tensor, wait, true), () => all.ended(tensor, wait, false));
  }

  protected serveFile(sha256: string): void {
    const file = this.host.files.find((candidate) => candidate.sha256 === sha256);
    if (file === undefined) return;
    this.streams
      .run((signal) => this.session.connection.sendTensor(fileTensor(file), signal))
      .catch((error: unknown) => {
        // A link that ended shows in `closed`; a file that cannot be read ends the run, as no worker will get it.
        if (error instanceof LongtailError && error.code !== 'unreachable') this.host.fail(error);
      });
  }

  private giveUpVersions(reason: Error): void {
    this.versions.abort(reason);
    this.versions = new FanOut();
  }

  /** Nothing that is on its way is wanted, and what it holds counts for nothing. */
  protected abandon(reason: string): void {
    if (this.versions.isBusy || this.streams.isBusy) {
      const error = new LongtailError(reason, { code: 'unreachable' });
      this.giveUpVersions(error);
      this.streams.abort(error);
      this.streams = new FanOut();
    }
    this.sending = undefined;
    this.forgetHeld();
  }
}

export function fileTensor(file: ServedFile): OutgoingTensor {
  return {
    header: { run: '', kind: 'file', stage: 0, fragment: 0, task: 0, round: 0, baseVersion: 0, samples: 0, codec: 0, name: file.sha256, start: 0 },
    length: file.bytes,
    chunkLength: FILE_CHUNK_BYTES,
    chunk: (offset, length) => file.read(offset, length),
  };
}

/** The differences that lead from what is held to what is published; undefined where they do not, or not any more. */
function differencesFrom(held: Held | undefined, { line, difference }: Published): readonly Published[] | undefined {
  if (held === undefined || difference === undefined) return undefined;
  const follows = held.line === line || ((held.exact || !line!.exact) && held.version === line!.startedAt);
  return follows ? difference.since(held.version) : undefined;
}

/** Cut otherwise it is the same. The worker may begin with it as soon as it is there: sent once more, it would wait for the device, and what a pipeline's device waits for behind it. */
function isOf({ target, queue }: Sending, published: Published): boolean {
  return target === published || (queue.length === 1 && target.version === published.version && target.line === published.line && (target.exact || !published.exact));
}

/** Differences that wait to be sent are worth it as long as they take no more than parameters whole. */
function worthFollowing(waiting: readonly Published[], { tensors, difference }: Published): boolean {
  const most = roomOf(difference?.whole.tensors ?? tensors);
  return waiting.reduce((sum, one) => sum + roomOf(one.tensors), 0) <= most;
}

/** Tells whether the worker has acknowledged all of several tensors, once the last one has ended. Never at once. */
class AllOf {
  private missing = 0;
  private acknowledged = true;

  constructor(private readonly over: (acknowledged: boolean) => void) {}

  began(tensor: EncodedTensor): void {
    tensor.hold();
    this.missing++;
  }

  /** These are all. */
  begun(): void {
    if (this.missing === 0) void Promise.resolve().then(() => this.over(true));
  }

  ended(tensor: EncodedTensor, wait: Wait, acknowledged: boolean): void {
    wait.end();
    tensor.release(acknowledged);
    this.acknowledged &&= acknowledged;
    if (--this.missing === 0) this.over(this.acknowledged);
  }
}

/** They wait to be sent. */
function held(queue: readonly Published[]): readonly Published[] {
  for (const { tensors } of queue) for (const tensor of tensors) tensor.hold();
  return queue;
}

/** They do not wait any more. */
function release(queue: readonly Published[]): void {
  for (const { tensors } of queue) for (const tensor of tensors) tensor.release();
}
