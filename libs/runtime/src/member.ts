import {
  ASSUMED_LINK,
  joinLayouts,
  LongtailError,
  type MeasuredLink,
  type ParameterLayout,
  type TensorChunk,
  type TensorHeader,
} from '@longtail/core';
import type { Place, Prepare, Profile, Progress, Ready, ServerMessage, TaskDone, TaskFailed, WorkerMessage } from '@longtail/protocol';
import type { Assignment } from './assignment.js';
import type { MeasuringMessage } from './figures.js';
import type { Group } from './group.js';
import type { Part, Session } from './membership.js';
import { MemberTraffic } from './member-traffic.js';
import { Recipient, type RecipientHost } from './recipient.js';
import { Relay } from './relay.js';
import { isStageTensor } from './stage-inbox.js';
import { parseLayouts } from './worker-layouts.js';
import { Workload } from './workload.js';

/** What a member needs of its run. */
export interface MemberHost extends RecipientHost {
  progress(progress: Progress): void;
  /** Who takes part may not be the same as before. */
  regrouped(): void;
  /** What is known of a member's link to the server is not what it was. */
  linkChanged(): void;
  measuring(member: Member, message: MeasuringMessage): void;
  departed(member: Member): void;
  /** Name of the node that holds a task, for the receipt of one who does not. */
  holderOf(task: number): string | undefined;
  /** A tensor that one stage sends to another one through the server. Resolves when the next chunk may come. */
  relay(from: Member, chunk: TensorChunk): Promise<void> | void;
}

/**
 * - `spare`: has no place in the layout
 * - `profiling`: has none yet: it times the model's blocks for the layout
 * - `preparing`: builds its model and fetches data
 * - `prepared`: says that it is ready; not yet looked at by the run
 * - `ready`: takes part
 * - `finishing`: does what it was given and gets no more, as its node is to rest
 * - `failed`: could not prepare; `failure` says why
 * - `gone`: released or disconnected
 */
export type MemberState = 'spare' | 'profiling' | 'preparing' | 'prepared' | 'ready' | 'finishing' | 'failed' | 'gone';

/** What it said when it was ready for its place. */
interface Prepared {
  readonly ready: Ready;
  /** Of its stages. */
  readonly layouts: readonly ParameterLayout[];
  /** Of its vector. */
  readonly layout: ParameterLayout;
}

/** A worker's part in a run: its place, what it said of itself, what it is at. */
export class Member extends Recipient<MemberHost> implements Part {
  private present: MemberState = 'spare';
  /** Its place in the layout. */
  group: Group | undefined;
  readonly workload: Workload;
  readonly traffic: MemberTraffic;
  private readonly relay: Relay;
  failure: LongtailError | undefined;
  /** Since it is ready for its place. */
  prepared: Prepared | undefined;
  /** Failed or refused tasks in a row. */
  strikes = 0;
  /** From its last prepare to ready; 0 before the first. */
  setupMs = 0;
  /** Grants of local steps that it brought home. */
  grants = 0;
  private placedAtMs = 0;
  /** While it is finishing. */
  private rest: { readonly reason: string; readonly over: AbortController } | undefined;

  constructor(session: Session, host: MemberHost) {
    super(session, host);
    this.workload = new Workload(host.clock);
    this.traffic = new MemberTraffic(session);
    this.relay = new Relay(session.connection);
  }

  get state(): MemberState {
    return this.present;
  }
  set state(state: MemberState) {
    this.present = state;
    this.host.regrouped();
  }
  get node(): string {
    return this.session.node;
  }
  get name(): string {
    return this.session.name;
  }
  /** To the server, no faster than its owner allows; of a link that nobody could measure, what is assumed. */
  get link(): MeasuredLink {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = this.session.link ?? ASSUMED_LINK;
    return { upBitsPerSecond: Math.min(upBitsPerSecond, this.session.hello.maxUploadBitsPerSecond || Infinity), downBitsPerSecond, roundTripMs };
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
    const { run, jobJson, files } = message;
    const { held, neighbours, afterTask, microbatch, inFlight, recompute } = rest;
    const [workers, stages] = [group.members.length, group.stages.length];
    // Named one by one: an object that another one is spread into has a hidden class of its own, for each of thousands of workers.
    const place = { group: group.id, worker, workers, stages, held, neighbours, afterTask, afterTransfer: this.transfers, microbatch, inFlight, recompute };
    this.send({ message: 'prepare', prepare: { run, jobJson, files, place } });
  }

  /** Of a stage that it holds; it is prepared. */
  layoutOf(stage: number): ParameterLayout {
    return this.prepared!.layouts[this.group!.stagesOf(this).indexOf(stage)]!;
  }

  /** Takes its place away. */
  vacate(): void {
    this.abandon();
    this.group = undefined;
    this.segments = [];
    this.prepared = undefined;
    this.state = 'spare';
  }

  // ---- what arrives

  message(message: WorkerMessage): void {
    switch (message.message) {
      case 'ready':
        return this.onReady(message.ready);
      case 'taskDone':
        return this.onDone(message.taskDone);
      case 'taskFailed':
        return this.onFailed(message.taskFailed);
      case 'progress':
        return this.workload.find(message.progress.task) === undefined ? undefined : this.host.progress(message.progress);
      case 'profileProgress':
      case 'profiled':
      case 'peerProbed':
      case 'peerMeasured':
        return this.host.measuring(this, message);
      case 'fileRequest':
        return this.serveFile(message.fileRequest.sha256);
      case 'hello':
      case 'heartbeat':
      case 'linkProbed':
      case 'followed':
      case 'leave':
      case 'pause':
      case 'unpause':
        return; // the session's
    }
  }

  tensor(chunk: TensorChunk): Promise<void> | void {
    const { run, task, kind } = chunk.header;
    if (isStageTensor(kind)) {
      if (run !== this.run) return;
      this.workload.find(task)?.seen(this.host.clock.nowMs());
      return this.host.relay(this, chunk);
    }
    const open = this.taskOut(run, task);
    if (open === undefined) return;
    const verdict = open.takeChunk(chunk, this.host.clock.nowMs());
    if (verdict.verdict === 'ignored') this.refuse(task, verdict.reason, true);
    if (open.status !== 'out') this.moved(open);
  }

  /** Memory for a chunk that is expected; others get memory of their own. */
  place(header: TensorHeader, bytes: number): Uint8Array {
    const open = header.run === this.run ? this.workload.find(header.task) : undefined;
    return (open?.status === 'out' ? open.delivery.place(header, bytes) : undefined) ?? new Uint8Array(bytes);
  }

  /** Passes a chunk of another stage on; resolves when the next one may come. */
  forward(chunk: TensorChunk): Promise<void> {
    return this.relay.forward(chunk);
  }

  linkChanged(): void {
    this.host.linkChanged();
  }

  left(reason: string): void {
    this.depart(reason);
    this.host.changed();
  }

  private onReady(ready: Ready): void {
    if (this.state !== 'preparing' || ready.run !== this.run || ready.group !== this.group?.id) return;
    const stages = this.group.stagesOf(this).length;
    let layouts: readonly ParameterLayout[];
    try {
      layouts = parseLayouts(ready.layoutsJson);
    } catch (error) {
      return this.onPrepareFailed(LongtailError.from(error));
    }
    if (layouts.length !== stages) {
      return this.onPrepareFailed(new LongtailError(`laid out ${layouts.length} stages, it holds ${stages}`, { code: 'protocol' }));
    }
    this.prepared = { ready, layouts, layout: joinLayouts(layouts) };
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

  private onDone(done: TaskDone): void {
    this.traffic.addDirect(done.peerBytesUp);
    const open = this.taskOut(done.run, done.task);
    if (open === undefined) return;
    const nowMs = this.host.clock.nowMs();
    open.takeDone(done, nowMs);
    this.workload.idleFrom(nowMs);
    this.moved(open);
  }

  private onFailed({ run, task, failure }: TaskFailed): void {
    const error = LongtailError.fromWire(failure);
    if (task === 0) return this.onPrepareFailed(error);
    const open = this.taskOut(run, task);
    if (open === undefined) return;
    open.fail(error, this.host.clock.nowMs());
    this.moved(open);
  }

  /** It is computed, or ended. */
  private moved({ task: { task } }: Assignment): void {
    this.workload.startNext();
    this.host.advanced(task);
  }

  /** A task that this member is at; whatever comes of another one gets a receipt that says why, once a task. */
  private taskOut(run: string, task: number): Assignment | undefined {
    const open = run === this.run ? this.workload.find(task) : undefined;
    if (open?.status === 'out') return open;
    if (open === undefined && !this.workload.answer(task)) this.answer(run, task);
    return undefined; // else its receipt is on the way, or was sent
  }

  private answer(run: string, task: number): void {
    const holder = this.host.holderOf(task);
    const reason =
      run !== this.run
        ? `run ${run || '(none)'} is not the run ${this.run} that this node works for`
        : holder !== undefined && holder !== this.node
          ? `task ${task} belongs to ${holder}`
          : `task ${task} is not open: it is answered already, or was never given to this node`;
    this.refuse(task, reason, false);
  }

  // ---- what is sent

  private refuse(task: number, reason: string, pending: boolean): void {
    this.send({ message: 'receipt', receipt: { run: this.run, task, accepted: false, weight: 0, staleness: 0, reason, pending } });
  }

  /** Tasks are worked on in the order in which they are given. */
  begin(assignment: Assignment): void {
    this.traffic.begin();
    this.workload.add(assignment);
  }

  /** Closes a task: what still comes of it is ignored. */
  close(task: number): void {
    this.workload.close(task);
    this.relay.drop(task);
  }

  // ---- leaving

  /** Why it is finishing. */
  get restReason(): string {
    return this.rest?.reason ?? '';
  }

  /** It is ready, and gets no more tasks. The signal aborts when it is gone, or works again. */
  finish(reason: string): AbortSignal {
    const over = new AbortController();
    this.state = 'finishing';
    this.rest = { reason, over };
    return over.signal;
  }

  /** Its node does not rest after all. */
  goOn(): void {
    this.state = 'ready';
    this.endRest();
  }

  private endRest(): void {
    this.rest?.over.abort(new Error('it is gone, or works again'));
    this.rest = undefined;
  }

  /** Takes the member out of the run; its open tasks are lost. Idempotent. */
  depart(reason: string): void {
    if (this.state === 'gone') return;
    this.state = 'gone';
    this.endRest();
    this.traffic.end();
    this.abandon();
    this.relay.close();
    this.workload.lose(reason);
    if (this.session.part === this) this.session.part = undefined;
    this.host.departed(this);
  }
}
