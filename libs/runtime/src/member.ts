import {
  joinLayouts,
  LongtailError,
  type Clock,
  type OutgoingTensor,
  type ParameterLayout,
  type TensorChunk,
  type TensorHeader,
  type TensorKind,
} from '@longtail/core';
import type { Place, Prepare, Profile, Progress, Ready, Receipt, ServerMessage, WorkerMessage } from '@longtail/protocol';
import type { Assignment } from './assignment.js';
import type { EncodedTensor } from './encoded-tensor.js';
import { FanOut } from './fan-out.js';
import type { MeasuringMessage } from './figures.js';
import type { Group } from './group.js';
import type { Part, Session } from './membership.js';
import type { Published } from './outgoing-parameters.js';
import type { ServedFile } from './ports.js';
import { Relay } from './relay.js';
import type { HeldSegment } from './segments.js';

/** What a member needs of its run. */
export interface MemberHost {
  readonly run: string;
  readonly clock: Clock;
  readonly files: readonly ServedFile[];
  /** Something about a member changed: whoever waits should look again. */
  changed(): void;
  progress(progress: Progress): void;
  measuring(member: Member, message: MeasuringMessage): void;
  departed(member: Member): void;
  /** Name of the node that holds a task, for the receipt of one who does not. */
  holderOf(task: number): string | undefined;
  /** A tensor that one stage sends to another one through the server. Resolves when the next chunk may come. */
  relay(from: Member, chunk: TensorChunk): Promise<void> | void;
  fail(error: LongtailError): void;
}

/**
 * - `spare`: has no place in the layout
 * - `profiling`: has none yet: it times the model's blocks for the layout
 * - `preparing`: builds its model and fetches data
 * - `prepared`: says that it is ready; not yet looked at by the run
 * - `ready`: takes part
 * - `failed`: could not prepare; `failure` says why
 * - `gone`: released or disconnected
 */
export type MemberState = 'spare' | 'profiling' | 'preparing' | 'prepared' | 'ready' | 'failed' | 'gone';

/** Bytes a chunk of a file. */
const FILE_CHUNK_BYTES = 1 << 20;
/** Tasks remembered as answered, so that each late chunk of one does not get a receipt of its own. */
const ANSWERED_TASKS = 64;

/** Parameters as the worker has them: of a view, where a line is named. */
type Held = Pick<Published, 'version' | 'exact' | 'line'>;

/** What is sent one after the other, each to be acknowledged before the next. */
interface Sending {
  /** What the worker holds in the end. */
  target: Published;
  readonly queue: Published[];
  readonly streams: FanOut;
}

/** Versions that wait to be sent to a member; one that is further behind gets parameters whole. */
const MOST_QUEUED = 8;

/** Given so that no DOMException with a stack is made for every version. */
const OUTDATED = new Error('a newer version is there');

/** A worker's part in a run: what it said of itself, what it holds, what it is at. */
export class Member implements Part {
  state: MemberState = 'spare';
  /** Its place in the layout. */
  group: Group | undefined;
  /** Its number among the group's workers. */
  worker = 0;
  /** Where the segments lie in its vector; set with every cut of the model. */
  segments: readonly HeldSegment[] = [];
  failure: LongtailError | undefined;
  /** Of its vector. */
  layout: ParameterLayout | undefined;
  private layouts: readonly ParameterLayout[] = [];
  ready: Ready | undefined;
  /** Failed or refused tasks in a row. */
  strikes = 0;
  /** From its last prepare to ready; 0 before the first. */
  setupMs = 0;
  /** When its last task ended, for a task's event to say how long it waited. */
  idleSinceMs: number | undefined;
  /** Grants of local steps that it brought home. */
  grants = 0;
  readonly assignments = new Map<number, Assignment>();
  /** Version of the optimizer state on the worker; undefined when it has none that counts. */
  heldState: number | undefined;
  private held: Held | undefined;
  private sending: Sending | undefined;
  private readonly relay: Relay;
  private readonly streams = new Set<FanOut>();
  private readonly answered: number[] = [];
  private transfers = 0;
  private vectorsOnTheWay = 0;
  private placedAtMs = 0;
  private traffic: { readonly bytesSent: number; readonly bytesReceived: number };
  private readonly trafficAtStart: { readonly bytesSent: number; readonly bytesReceived: number };
  private trafficAtEnd: { readonly bytesSent: number; readonly bytesReceived: number } | undefined;

  constructor(
    readonly session: Session,
    private readonly host: MemberHost,
  ) {
    this.traffic = this.trafficAtStart = session.traffic;
    this.relay = new Relay(session.connection);
  }

  get run(): string {
    return this.host.run;
  }
  get node(): string {
    return this.session.node;
  }
  get name(): string {
    return this.session.name;
  }
  get samplesPerSecond(): number {
    return this.state === 'ready' ? (this.group?.samplesPerSecond ?? 0) : 0;
  }

  send(message: ServerMessage): void {
    if (this.state !== 'gone') this.session.send(message);
  }

  /** False: it has a place by now, or is gone. */
  startProfile(profile: Profile): boolean {
    if (this.state !== 'spare') return false;
    this.state = 'profiling';
    this.send({ message: 'profile', profile });
    return true;
  }

  /** False: it was given a place meanwhile, or is gone. */
  endProfile(): boolean {
    if (this.state !== 'profiling') return false;
    this.state = 'spare';
    return true;
  }

  /** Gives it a place: it prepares, whatever it was prepared for before. */
  prepare(
    group: Group,
    worker: number,
    message: Omit<Prepare, 'place'>,
    rest: Omit<Place, 'group' | 'worker' | 'workers' | 'stages' | 'afterTransfer'>,
  ): void {
    this.vacate();
    this.group = group;
    this.worker = worker;
    this.state = 'preparing';
    this.placedAtMs = this.host.clock.nowMs();
    const of = { group: group.id, worker, workers: group.members.length, stages: group.stages.length };
    this.send({ message: 'prepare', prepare: { ...message, place: { ...of, afterTransfer: this.transfers, ...rest } } });
  }

  /** Of a stage that it holds; it is prepared. */
  layoutOf(stage: number): ParameterLayout {
    return this.layouts[this.group!.stagesOf(this).indexOf(stage)]!;
  }

  /** Takes its place away. */
  vacate(): void {
    for (const stream of this.streams) stream.abort(new LongtailError('it is given another place', { code: 'unreachable' }));
    this.sending = undefined;
    this.forgetHeld();
    this.group = undefined;
    this.segments = [];
    this.layout = undefined;
    this.ready = undefined;
    this.state = 'spare';
  }

  // ---- what arrives

  message(message: WorkerMessage): void {
    switch (message.message) {
      case 'ready':
        return this.onReady(message.ready);
      case 'taskDone':
        return this.onTask(message.taskDone.run, message.taskDone.task, (open, nowMs) => open.takeDone(message.taskDone, nowMs));
      case 'taskFailed': {
        const error = LongtailError.fromWire(message.taskFailed.failure);
        if (message.taskFailed.task === 0) return this.onPrepareFailed(error);
        return this.onTask(message.taskFailed.run, message.taskFailed.task, (open, nowMs) => open.takeFailure(error, nowMs));
      }
      case 'progress':
        return this.assignments.has(message.progress.task) ? this.host.progress(message.progress) : undefined;
      case 'profileProgress':
      case 'profiled':
      case 'peerProbed':
        return this.host.measuring(this, message);
      case 'fileRequest':
        return this.serveFile(message.fileRequest.sha256);
      case 'hello':
      case 'heartbeat':
      case 'linkProbed':
      case 'leave':
        return; // the session's
    }
  }

  tensor(chunk: TensorChunk): Promise<void> | void {
    const { run, task, kind } = chunk.header;
    if (kind === 'activation' || kind === 'activation-gradient') return run === this.run ? this.host.relay(this, chunk) : undefined;
    this.onTask(run, task, (open, nowMs) => {
      const verdict = open.takeChunk(chunk, nowMs);
      if (verdict.verdict === 'ignored') this.receipt({ task, accepted: false, weight: 0, staleness: 0, reason: verdict.reason });
    });
  }

  /** Memory for a chunk that is expected; others get memory of their own. */
  place(header: TensorHeader, bytes: number): Uint8Array {
    const open = header.run === this.run ? this.assignments.get(header.task) : undefined;
    return (open?.status === 'out' ? open.delivery.place(header, bytes) : undefined) ?? new Uint8Array(bytes);
  }

  /** Passes a chunk of another stage on; resolves when the next one may come. */
  forward(chunk: TensorChunk): Promise<void> {
    return this.relay.forward(chunk);
  }

  left(reason: string): void {
    this.depart(reason);
    this.host.changed();
  }

  private onReady(ready: Ready): void {
    if (this.state !== 'preparing' || ready.run !== this.run || ready.group !== this.group?.id) return;
    const layouts = JSON.parse(ready.layoutsJson) as readonly ParameterLayout[];
    const stages = this.group.stagesOf(this).length;
    if (layouts.length !== stages) {
      return this.onPrepareFailed(new LongtailError(`laid out ${layouts.length} stages, it holds ${stages}`, { code: 'protocol' }));
    }
    this.ready = ready;
    this.layouts = layouts;
    this.layout = joinLayouts(layouts);
    this.state = 'prepared';
    this.setupMs = this.host.clock.nowMs() - this.placedAtMs;
    this.host.changed();
  }

  private onPrepareFailed(error: LongtailError): void {
    if (this.state !== 'preparing') return;
    this.state = 'failed';
    this.failure = error;
    this.host.changed();
  }

  /** Applies `move` to an open task of this member; whatever else comes gets a receipt that says why, once a task. */
  private onTask(run: string, task: number, move: (open: Assignment, nowMs: number) => void): void {
    const open = run === this.run ? this.assignments.get(task) : undefined;
    if (open?.status === 'out') {
      const { done } = open;
      move(open, this.host.clock.nowMs());
      if (open.status !== 'out' || open.done !== done) this.host.changed();
      return;
    }
    if (open !== undefined || this.answered.includes(task)) return; // its receipt is on the way, or was sent
    this.remember(task);
    const holder = this.host.holderOf(task);
    const reason =
      run !== this.run
        ? `run ${run || '(none)'} is not the run ${this.run} that this node works for`
        : holder !== undefined && holder !== this.node
          ? `task ${task} belongs to ${holder}`
          : `task ${task} is not open: it is answered already, or was never given to this node`;
    this.receipt({ task, accepted: false, weight: 0, staleness: 0, reason });
  }

  // ---- what is sent

  receipt(receipt: Omit<Receipt, 'run'>): void {
    this.send({ message: 'receipt', receipt: { run: this.run, ...receipt } });
  }

  /** Closes a task: what still comes of it is ignored. */
  close(task: number): void {
    this.assignments.delete(task);
    this.relay.drop(task);
    this.remember(task);
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

  /** No parameters or state are on their way: what it holds is what was sent last. */
  get settled(): boolean {
    return this.vectorsOnTheWay === 0;
  }

  /**
   * Starts to send parameters unless the worker has them or gets them already. Differences follow what it has, or what is on
   * its way to it; where they do not, an older version on its way is given up and parameters are sent whole.
   */
  supply(published: Published): void {
    const { sending } = this;
    if (this.holdsPublished(published) || sending?.target === published) return;
    const rest = differencesFrom(sending?.target ?? this.held, published);
    if (sending !== undefined && rest !== undefined && sending.queue.length + rest.length <= MOST_QUEUED) {
      sending.target = published;
      this.enqueue(sending, rest);
      return;
    }
    sending?.streams.abort(OUTDATED);
    const next: Sending = { target: published, queue: [], streams: new FanOut() };
    this.sending = next;
    this.enqueue(next, (sending === undefined ? rest : undefined) ?? [published.difference?.whole ?? published]);
    this.onTheWay(this.sendQueue(next));
  }

  private holdsPublished({ version, exact, line }: Published): boolean {
    return this.holds(version, exact) && this.held?.line === line;
  }

  private enqueue({ queue }: Sending, more: readonly Published[]): void {
    for (const { tensors } of more) for (const tensor of tensors) tensor.acquire();
    queue.push(...more);
  }

  private async sendQueue(sending: Sending): Promise<void> {
    const { queue, streams } = sending;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      this.held = undefined;
      const { version, exact, line, tensors, difference } = next;
      const kind = difference === undefined ? 'parameters' : 'difference';
      const transfer = ++this.transfers;
      const sent = this.segments.map(({ segment, start }) => this.stream(kind, segment.index, start, tensors[segment.index]!, transfer, streams));
      const acknowledged = (await Promise.all(sent)).every(Boolean);
      if (this.sending !== sending || !acknowledged) break;
      dequeue(queue);
      this.held = { version, exact, line };
    }
    while (queue.length > 0) dequeue(queue);
    if (this.sending === sending) this.sending = undefined;
  }

  /** Sends the optimizer's vectors. */
  supplyState(state: readonly EncodedTensor[], version: number): void {
    this.heldState = undefined;
    const streams = state.map((tensor, fragment) => this.stream('state', fragment, 0, tensor, ++this.transfers, new FanOut()));
    this.onTheWay(
      Promise.all(streams).then((acknowledged) => {
        if (acknowledged.every(Boolean)) this.heldState = version;
      }),
    );
  }

  private onTheWay(vectors: Promise<void>): void {
    this.vectorsOnTheWay++;
    void vectors.finally(() => {
      if (--this.vectorsOnTheWay === 0) this.host.changed();
    });
  }

  /** Resolves with whether the worker has acknowledged it all. */
  private async stream(
    kind: TensorKind,
    fragment: number,
    start: number,
    tensor: EncodedTensor,
    /** Lets the worker tell a newer transfer from stale chunks of an older one. */
    transfer: number,
    streams: FanOut,
  ): Promise<boolean> {
    tensor.acquire();
    this.streams.add(streams);
    const outgoing: OutgoingTensor = {
      header: {
        run: this.run,
        kind,
        stage: this.worker,
        fragment,
        task: transfer,
        round: 0,
        baseVersion: tensor.version,
        samples: 0,
        codec: tensor.codecId,
        name: '',
        start,
      },
      length: tensor.grid.length,
      chunkLength: tensor.grid.chunkLength,
      chunk: (offset) => tensor.bytes(offset),
    };
    const acknowledged = await streams.run((signal) => this.session.connection.sendTensor(outgoing, signal)).then(
      () => true,
      () => false, // given up, or the link ended: `closed` tells why
    );
    this.streams.delete(streams);
    tensor.release(acknowledged);
    return acknowledged;
  }

  private serveFile(sha256: string): void {
    const file = this.host.files.find((candidate) => candidate.sha256 === sha256);
    if (file === undefined) return;
    const outgoing: OutgoingTensor = {
      header: { run: '', kind: 'file', stage: 0, fragment: 0, task: 0, round: 0, baseVersion: 0, samples: 0, codec: 0, name: sha256, start: 0 },
      length: file.bytes,
      chunkLength: FILE_CHUNK_BYTES,
      chunk: (offset, length) => file.read(offset, length),
    };
    const streams = new FanOut();
    this.streams.add(streams);
    streams
      .run((signal) => this.session.connection.sendTensor(outgoing, signal))
      .catch((error: unknown) => {
        // A link that ended shows in `closed`; a file that cannot be read ends the run, as no worker will get it.
        if (error instanceof LongtailError && error.code !== 'unreachable') this.host.fail(error);
      })
      .finally(() => this.streams.delete(streams));
  }

  // ---- leaving

  /** Takes the member out of the run; its open tasks are lost. Idempotent. */
  depart(reason: string): void {
    if (this.state === 'gone') return;
    this.state = 'gone';
    this.trafficAtEnd = this.session.traffic;
    for (const stream of this.streams) stream.abort(new LongtailError(reason, { code: 'unreachable' }));
    this.relay.close();
    for (const open of this.assignments.values()) open.end('lost', reason, this.host.clock.nowMs());
    if (this.session.part === this) this.session.part = undefined;
    this.host.departed(this);
  }

  /** Traffic since the last call, for the event of a contribution. */
  takeTraffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    const { bytesSent, bytesReceived } = this.session.traffic;
    const delta = { bytesUp: bytesReceived - this.traffic.bytesReceived, bytesDown: bytesSent - this.traffic.bytesSent };
    this.traffic = { bytesSent, bytesReceived };
    return delta;
  }

  /** Of the run: it stands still once the member has left it. */
  totalTraffic(): { readonly up: number; readonly down: number } {
    const { bytesSent, bytesReceived } = this.trafficAtEnd ?? this.session.traffic;
    return { up: bytesReceived - this.trafficAtStart.bytesReceived, down: bytesSent - this.trafficAtStart.bytesSent };
  }

  private remember(task: number): void {
    this.answered.push(task);
    if (this.answered.length > ANSWERED_TASKS) this.answered.shift();
  }
}

/** The differences that lead from what is held to what is published; undefined where they do not, or not any more. */
function differencesFrom(held: Held | undefined, { line, difference }: Published): readonly Published[] | undefined {
  if (held === undefined || difference === undefined) return undefined;
  const follows = held.line === line || (held.exact && held.version === line!.startedAt);
  return follows ? difference.since(held.version) : undefined;
}

function dequeue(queue: Published[]): void {
  for (const tensor of queue.shift()!.tensors) tensor.release(true);
}
