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

/** Tensors that are sent together. */
interface Sending {
  /** Those that have not ended. */
  missing: number;
  /** The worker has acknowledged all that have. */
  acknowledged: boolean;
}

/** Versions that are sent one after the other, each to be acknowledged before the next. */
interface VersionSending extends Sending {
  readonly of: 'versions';
  /** What the worker holds in the end. */
  target: Published;
  /** On its way. */
  first: Published;
  /** What comes behind it. */
  waiting: readonly Published[];
}

interface StateSending extends Sending {
  readonly of: 'state';
  readonly version: number;
}

const NONE: readonly Published[] = [];

/** Given so that no error with a stack is made for every version, or every worker of a run that ends: nobody reads it. */
const OUTDATED = new LongtailError('a newer version is there', { code: 'unreachable' });
const ABANDONED = new LongtailError('it has no place in the run any more', { code: 'unreachable' });

/** The part of a member that vectors and files are sent to: what it holds of the model, and what is on its way. */
export class Recipient<Host extends RecipientHost = RecipientHost> {
  // What each round asks for, of thousands of workers, lies side by side (ADR 46).
  /** Where the segments lie in its vector; set with every cut of the model. */
  segments: readonly HeldSegment[] = [];
  /** Number of the last transfer of a vector. */
  protected transfers = 0;
  /** The last one before it was asked what was sent. */
  private transfersBefore = 0;
  private held: Held | undefined;
  private sending: VersionSending | undefined;
  /** Of versions; those that are not wanted any more are given up together. */
  private versions = new FanOut();
  private vectorsOnTheWay = 0;
  private vectorsArrivedAtMs = 0;
  /** Its number among the group's workers. */
  worker = 0;
  /** Version of the optimizer state on the worker; undefined when it has none that counts. */
  heldState: number | undefined;
  /** Of all but versions. */
  private streams = new FanOut();

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
    if (sending !== undefined && rest !== undefined && worthFollowing([...sending.waiting, ...rest], published)) {
      rest.forEach(hold);
      sending.target = published;
      sending.waiting = [...sending.waiting, ...rest];
      return;
    }
    if (sending !== undefined) this.giveUpVersions(OUTDATED);
    const follows = sending === undefined && rest !== undefined;
    const first = follows ? rest[0]! : (published.difference?.whole ?? published);
    const waiting = follows && rest.length > 1 ? rest.slice(1) : NONE;
    hold(first);
    waiting.forEach(hold);
    this.vectorsOnTheWay++;
    this.sendFirst((this.sending = { of: 'versions', missing: 0, acknowledged: true, target: published, first, waiting }));
  }

  private holdsPublished({ version, exact, line }: Published): boolean {
    return this.holds(version, exact) && this.held?.line === line;
  }

  /** Sends what is first, and when the worker has it what comes behind it. */
  private sendFirst(sending: VersionSending): void {
    this.held = undefined;
    this.transfers++;
    const { kind, first, tensors } = sending.first;
    for (const { segment, start } of this.segments) {
      const tensor = tensors[segment.index - first];
      if (tensor !== undefined) this.stream(tensor, kind, segment.index, start, this.versions, sending);
    }
    this.begun(sending);
  }

  private sentFirst(sending: VersionSending): void {
    const { first, waiting } = sending;
    release(first);
    if (this.sending === sending && sending.acknowledged) {
      const { version, exact, line } = first;
      this.held = { version, exact, line };
      if (waiting.length > 0) {
        [sending.first, ...sending.waiting] = waiting;
        return this.sendFirst(sending);
      }
    }
    waiting.forEach(release);
    if (this.sending === sending) this.sending = undefined;
    this.arrived();
  }

  /** Sends the optimizer's vectors. */
  supplyState(state: readonly EncodedTensor[], version: number): void {
    this.heldState = undefined;
    this.vectorsOnTheWay++;
    const sending: StateSending = { of: 'state', missing: 0, acknowledged: true, version };
    for (const [fragment, tensor] of state.entries()) {
      this.transfers++;
      this.stream(tensor, 'state', fragment, 0, this.streams, sending);
    }
    this.begun(sending);
  }

  /** Vectors that were on their way are there, or given up. */
  private arrived(): void {
    this.vectorsArrivedAtMs = this.host.clock.nowMs();
    if (--this.vectorsOnTheWay === 0) this.host.advanced();
  }

  /** The transfer's number lets the worker tell it from stale chunks of an older one. */
  private stream(tensor: EncodedTensor, kind: TensorKind, fragment: number, start: number, streams: FanOut, sending: VersionSending | StateSending): void {
    const { version: baseVersion, codecId: codec } = tensor;
    const header = { run: this.run, kind, stage: this.worker, fragment, task: this.transfers, round: 0, baseVersion, samples: 0, codec, name: '', start };
    tensor.hold();
    sending.missing++;
    const wait = streams.begin();
    const sent = this.session.connection.sendTensor(tensor.outgoing(header), wait.signal);
    // Rejects where it was given up, or the link ended: `closed` tells why.
    sent.then(() => this.streamed(tensor, wait, true, sending), () => this.streamed(tensor, wait, false, sending));
  }

  private streamed(tensor: EncodedTensor, wait: Wait, acknowledged: boolean, sending: VersionSending | StateSending): void {
    wait.end();
    tensor.release(acknowledged);
    sending.acknowledged &&= acknowledged;
    if (--sending.missing === 0) this.sent(sending);
  }

  /** All of it. Where that is nothing, it has ended: never at once. */
  private begun(sending: VersionSending | StateSending): void {
    if (sending.missing === 0) void Promise.resolve().then(() => this.sent(sending));
  }

  private sent(sending: VersionSending | StateSending): void {
    if (sending.of === 'versions') return this.sentFirst(sending);
    if (sending.acknowledged) this.heldState = sending.version;
    this.arrived();
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

  private giveUpVersions(reason: LongtailError): void {
    this.versions.abort(reason);
    this.versions = new FanOut();
  }

  /** Nothing that is on its way is wanted, and what it holds counts for nothing. */
  protected abandon(): void {
    if (this.versions.isBusy || this.streams.isBusy) {
      this.giveUpVersions(ABANDONED);
      this.streams.abort(ABANDONED);
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
function isOf({ target, waiting }: VersionSending, published: Published): boolean {
  return target === published || (waiting.length === 0 && target.version === published.version && target.line === published.line && (target.exact || !published.exact));
}

/** Differences that wait to be sent are worth it as long as they take no more than parameters whole. */
function worthFollowing(waiting: readonly Published[], { tensors, difference }: Published): boolean {
  const most = roomOf(difference?.whole.tensors ?? tensors);
  return waiting.reduce((sum, one) => sum + roomOf(one.tensors), 0) <= most;
}

/** It waits to be sent. */
function hold({ tensors }: Published): void {
  for (const tensor of tensors) tensor.hold();
}

/** It does not wait any more. */
function release({ tensors }: Published): void {
  for (const tensor of tensors) tensor.release();
}
