import {
  downCodecOf,
  fragmentsOf,
  hasErrorFeedback,
  type LongtailError,
  type Clock,
  type Codec,
  type CodecName,
  type Job,
  type RunEvent,
  type TensorChunk,
  type WantedFigures,
} from '@longtail/core';
import type { Prepare, Progress, ServerMessage } from '@longtail/protocol';
import { AutoSync } from './auto-sync.js';
import { Bell } from './bell.js';
import { explicitLayout } from './explicit-layout.js';
import { Following, type Standing } from './following.js';
import { Figures, type FiguresHost, type MeasuringMessage } from './figures.js';
import { Formation, type FormationHost } from './formation.js';
import { gridOf, type Grid } from './grid.js';
import { GroupIndex, type Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { KnownCodecs } from './known-codecs.js';
import { LearningRecord } from './learning-record.js';
import type { Member, MemberHost, MemberState } from './member.js';
import { ModelCut } from './model-cut.js';
import { OutgoingParameters, type Change } from './outgoing-parameters.js';
import { Paces } from './paces.js';
import type { PeerLinks } from './peer-links.js';
import { Recorder } from './recorder.js';
import type { RunStore, ServedFile, ServerDependencies } from './ports.js';
import { stashCapOf } from './passes.js';
import { Roster, type Measure } from './roster.js';
import { RunOutbox } from './run-outbox.js';
import type { Segment } from './segments.js';
import { SharePlan } from './share-plan.js';
import { SharedLine } from './shared-line.js';
import { Tasks } from './tasks.js';
import type { Training } from './training.js';

const NEVER = new AbortController();
/** A member, before all of them are looked at. */
export const LOOK_MS = 0.01;

const always = (): boolean => true;

/**
 * The state of a run that its phases share, and the moves on it. Phases (round, solo, evaluation) run one after the other;
 * handlers of messages only mark and ring.
 */
export class RunCore implements MemberHost, FormationHost, FiguresHost {
  readonly clock: Clock;
  readonly roster: Roster;
  readonly formation = new Formation(this);
  readonly figures: Figures;
  readonly paces = new Paces();
  readonly line = new SharedLine();
  readonly sharePlan: SharePlan;
  readonly tasks = new Tasks(this);
  readonly byId = new GroupIndex();
  readonly record = new LearningRecord();
  readonly following = new Following(this);
  readonly recorder = new Recorder(this);
  readonly outgoing: OutgoingParameters;
  submittedAtMs: number;
  readonly auto: AutoSync;
  readonly outbox: RunOutbox;
  training: Training | undefined;
  version = 0;
  round = 0;
  /** Samples of one task of every group together. */
  roundSamples = 0;
  /** Samples, or inner steps where groups step for themselves, of each one's latest task. */
  previousShares: ReadonlyMap<string, number> = new Map();
  /** Whom the shares were planned for, and how many samples of that batch are not handed out. */
  sharesLeft: { readonly groups: readonly Group[]; samples: number } | undefined;
  /** A task came to nothing that the phase under way has not looked at. */
  isSpoilt = false;
  /** The verdict is out. */
  ended = false;
  private readonly bell: Bell;
  private matters: (task?: GroupTask) => boolean = always;
  /** Told of each task that is at an end, whatever came of it, unless its worker left. */
  taskEnded: ((task: GroupTask) => void) | undefined;
  private readonly stopping = new AbortController();
  /** That holds since the groups changed last. */
  private readonly modelCut: ModelCut;
  private codecs: KnownCodecs | undefined;
  /** The same for all who prepare for the job. */
  private prepares: { readonly job: Job; readonly message: Omit<Prepare, 'place'> } | undefined;

  constructor(
    /** As it runs: with what `sync: auto` stands for, once that is known. */
    public job: Job,
    readonly store: RunStore,
    readonly files: readonly ServedFile[],
    readonly dependencies: ServerDependencies,
    readonly chunkLength: number,
    /** What is known of direct links between the nodes of the server. */
    readonly peerLinks: PeerLinks,
    /** Of the largest transfer that measures a link. */
    readonly probeBytes: number,
    /** Whether commits count where no standby confirms them. */
    readonly standing: Standing,
    /** A node that the run released is free for others. */
    readonly freed: () => void,
  ) {
    this.clock = dependencies.clock;
    this.bell = new Bell(this.clock);
    this.outbox = new RunOutbox(store.log, (error) => this.fail(error));
    this.modelCut = new ModelCut(chunkLength);
    this.sharePlan = new SharePlan(dependencies.shares, this.line);
    this.submittedAtMs = this.clock.nowMs();
    this.outgoing = new OutgoingParameters(() => this.turn(), dependencies.allocate);
    this.roster = new Roster(this);
    this.auto = new AutoSync(this, job.sync.strategy === 'auto');
    this.figures = new Figures(this);
  }

  get run(): string {
    return this.store.run;
  }
  /** Aborts when the run is cancelled or has failed; the reason is a LongtailError. */
  get signal(): AbortSignal {
    return this.stopping.signal;
  }
  /** Groups that take part, in the order in which their contributions are added. */
  get groups(): readonly Group[] {
    return this.formation.ready;
  }
  /** Members that take part. */
  get ready(): readonly Member[] {
    return this.groups.flatMap(({ members }) => members);
  }
  /** Of what comes up. */
  get codec(): Codec {
    return this.codecNamed(this.job.sync.codec);
  }
  /** Of what goes down. */
  get downCodec(): Codec {
    return this.codecNamed(downCodecOf(this.job.sync));
  }
  /** Parameters go down as differences, not whole. */
  get byDifferences(): boolean {
    return hasErrorFeedback(downCodecOf(this.job.sync));
  }

  /** Now or later. */
  get mayFollow(): boolean {
    return this.auto.isAsked || this.byDifferences;
  }

  /** How a version differs from the one before, where it does not go down whole. */
  get change(): Change {
    return { codec: this.downCodec, viewCodec: this.byDifferences ? this.codecNamed('fp32') : undefined };
  }

  /** Parts of the parameters that are exchanged in turn. */
  get fragments(): number | undefined {
    return fragmentsOf(this.job.sync);
  }

  codecNamed(name: CodecName): Codec {
    if (this.codecs?.sync !== this.job.sync) this.codecs = new KnownCodecs(this.dependencies.codecs, this.job.sync);
    return this.codecs.named(name);
  }

  grid(length: number): Grid {
    return gridOf(length, this.chunkLength);
  }

  get segments(): readonly Segment[] {
    return this.modelCut.segments;
  }

  // ---- the layout

  get members(): readonly Member[] {
    return this.roster.members;
  }
  get measure(): Measure | undefined {
    return this.roster.measure;
  }
  get begun(): boolean {
    return this.training !== undefined;
  }
  get lastTask(): number {
    return this.tasks.last;
  }
  get plan() {
    return this.dependencies.layout ?? explicitLayout;
  }

  get remainingMs(): number {
    if (this.training === undefined) return Infinity;
    const { total, applied, lost } = this.training.leases.totals();
    const samplesPerSecond = this.groups.reduce((sum, group) => sum + group.samplesPerSecond, 0);
    return (1000 * (total - applied - lost)) / samplesPerSecond;
  }

  get measuredPeers() {
    return this.peerLinks.measured;
  }

  passesOf(node: string) {
    return this.figures.passesOf(node);
  }

  want(figures: WantedFigures): void {
    this.figures.want(figures);
  }

  measuring(member: Member, message: MeasuringMessage): void {
    this.figures.onMessage(member, message);
  }

  regrouped(): void {
    this.formation.regrouped();
    this.roster.regrouped();
  }

  has(state: MemberState): boolean {
    return this.roster.has(state);
  }

  linkChanged(): void {
    this.formation.linkChanged();
  }

  departed(member: Member): void {
    this.isSpoilt ||= member.workload.any;
    this.figures.departed(member);
  }

  /** Something that the layout goes by was measured. */
  figuresChanged(): void {
    this.formation.changed();
    this.changed();
  }

  prepareMessage(): Omit<Prepare, 'place'> {
    const { job, run } = this;
    if (this.prepares?.job !== job) {
      const files = this.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
      this.prepares = { job, message: { run, jobJson: JSON.stringify(job), files } };
    }
    return this.prepares.message;
  }

  linkKey(): string {
    return this.dependencies.linkKey?.() ?? '';
  }

  stashCap(group: Group, stage: number): number {
    return stashCapOf(this, group, stage);
  }

  /** When the groups have changed, or what they exchange at once: cuts the model at the borders of stages and fragments, and starts the groups' clocks anew. Between phases only. */
  cut(): void {
    const { groups, modelCut } = this;
    const fragments = groups.every(({ solo }) => solo) ? this.fragments : undefined;
    if (groups.length === 0 || modelCut.isFor(groups, fragments)) return;
    for (const group of groups) group.rounds = 0;
    if (!modelCut.cutFor(groups, fragments, this.measure!.layout)) return;
    this.outgoing.recut();
    this.following.forgetBuffers();
    this.tasks.forgetBuffers();
  }

  // ---- what members ask

  holderOf(task: number): string | undefined {
    return this.roster.members.find((member) => member.workload.find(task) !== undefined)?.node;
  }

  relay(from: Member, chunk: TensorChunk): Promise<void> | void {
    return this.tasks.relay(from, chunk);
  }

  // ---- waiting and saying

  changed(): void {
    this.bell.ring();
  }

  advanced(number?: number): void {
    const task = number === undefined ? undefined : this.tasks.find(number);
    this.isSpoilt ||= task?.isWorthless === true;
    if (task !== undefined && task.status !== 'out') this.taskEnded?.(task);
    if (this.matters(task)) this.bell.ring();
  }

  /** Until something changed, or the time; rejects once the run is to stop. */
  async wait(untilMs?: number): Promise<void> {
    this.signal.throwIfAborted();
    await this.waitThrough(untilMs);
    this.signal.throwIfAborted();
  }

  /** The same, where tasks that go on are no change before so many that count have delivered. @default all count */
  async waitForTasks(needed = 1, untilMs?: number, counts: (task: GroupTask) => boolean = always): Promise<void> {
    let missing = needed;
    this.matters = (task) => {
      if (task === undefined || task.status === 'out') return false;
      return task.isWorthless || task.group.finishing || (counts(task) && --missing <= 0);
    };
    try {
      await this.wait(untilMs);
    } finally {
      this.matters = always;
    }
  }

  /** Like `wait`, for who looks at all members at each change: with many of them not at once, so that several changes are one. */
  async waitForMany(untilMs?: number): Promise<void> {
    await this.wait(untilMs);
    await this.clock.sleep(LOOK_MS * this.members.length, this.signal);
  }

  /** Like `wait`, but a run that stops only wakes it. */
  waitThrough(untilMs?: number): Promise<void> {
    return this.bell.wait(untilMs);
  }

  /** Lets sockets have a turn. Not cut short by a failing run: what is half done gets finished. */
  turn(): Promise<void> {
    return this.clock.sleep(0, NEVER.signal);
  }

  fail(error: LongtailError): void {
    this.stopping.abort(error);
    this.bell.ring();
  }

  /** A log that cannot be written ends the run: an event that is not durable must not be acted on for long. */
  emit(event: RunEvent): void {
    this.outbox.emit(event);
  }

  send(member: Member, message: ServerMessage): void {
    this.outbox.send(member, message);
  }

  progress(progress: Progress): void {
    this.record.progress(progress);
  }

  // ---- training

  begin(training: Training): void {
    this.training = training;
    training.planValidation();
  }

  /** The run has ended: lets go of the vectors, as the server keeps ended runs for those who ask. */
  dispose(): void {
    this.training = undefined;
    this.ended = true;
    this.outgoing.clear();
    this.following.forgetBuffers();
    this.tasks.forgetBuffers();
  }
}
