import { LongtailError, type Verdict } from '@longtail/core';
import type { JobRow } from '@longtail/protocol';
import { recall, restore, type Beginning } from './beginning.js';
import type { Claimant } from './eligibility.js';
import { evaluate } from './evaluation.js';
import { admitPrepared, gather, type CountFleet } from './gather.js';
import type { GroupTask } from './group-task.js';
import { initialise } from './initialise.js';
import { Member } from './member.js';
import type { Session } from './membership.js';
import { FINISH_MS } from './pauses.js';
import { runRounds } from './round.js';
import type { RunCore } from './run-core.js';
import { Snapshots } from './snapshots.js';
import { runSolo, stepsAlone } from './solo.js';
import { expectedMs } from './speed.js';
import type { Tasks } from './tasks.js';

/** Longer than workers pause between two looks for a server (`worker-loop.ts`). */
const REJOIN_MS = 8000;

export type RunStatus = 'waiting' | 'running' | Verdict['status'];

/** One execution of a job, from submission to verdict. */
export class Run implements Claimant {
  status: RunStatus = 'waiting';
  /** It sends its workers home: it takes no more. */
  ending = false;
  private lastRow: JobRow | undefined;
  private readonly snapshots: Snapshots;

  /** Nodes that took part when it broke off: it begins again when they are all back, or did not come. */
  awaited: ReadonlySet<string>;

  constructor(
    private readonly core: RunCore,
    private readonly countFleet: CountFleet,
    private readonly beginning: Beginning,
  ) {
    const { snapshot, volatile = false } = beginning;
    this.snapshots = volatile ? new Snapshots(core, 0, 0) : new Snapshots(core, snapshot?.version ?? 0, core.job.checkpoint.everyMs);
    this.awaited = recall(core, beginning.past ?? []);
    core.outbox.lastSeq = beginning.past?.at(-1)?.seq ?? 0;
  }

  get run(): string {
    return this.core.run;
  }
  get job() {
    return this.core.job;
  }
  get excluded(): ReadonlySet<string> {
    return this.core.roster.excluded;
  }
  get begun(): boolean {
    const { roster, training } = this.core;
    return this.awaited.size === 0 && (roster.members.length > 0 || training !== undefined);
  }
  get over(): boolean {
    return this.status !== 'waiting' && this.status !== 'running';
  }
  get store() {
    return this.core.store;
  }
  get version(): number {
    return this.core.version;
  }
  get files() {
    return this.core.files;
  }
  get following() {
    return this.core.following;
  }

  /** Takes a node in: it prepares once nodes are arranged, and takes part as soon as it is ready. */
  take(session: Session): void {
    const { core } = this;
    const member = new Member(session, core);
    session.part = member;
    core.roster.take(member);
    core.formation.changed();
  }

  /**
   * One of its nodes is to rest: it gets no more tasks, and local steps end with the one under way. What takes longer than a
   * few seconds goes back at once, unless somebody is `patient`.
   */
  rest(node: string, reason: string, patient: boolean): void {
    const { core } = this;
    const member = core.members.find((one) => one.node === node && one.state !== 'gone')!;
    const tasks = core.tasks.unsettled.filter(({ group }) => group === member.group);
    if (member.state !== 'ready' || (!patient && tasks.some((task) => remainingMs(task, core.clock.nowMs()) > FINISH_MS))) {
      return core.roster.dismiss(member, reason);
    }
    const over = member.finish(reason);
    for (const task of tasks) if (task.task.steps.length > 0) core.tasks.recall(task);
    if (!patient) void core.clock.sleep(FINISH_MS, over).then(() => this.letGo(member), () => undefined);
    core.changed();
  }

  private letGo(member: Member): void {
    this.core.roster.dismiss(member, member.restReason);
    this.core.freed();
  }

  /** It works again. */
  goOn(node: string): void {
    this.core.members.find((one) => one.node === node && one.state === 'finishing')?.goOn();
    this.core.changed();
  }

  /** Gives those who were taken in their places. */
  arrange(): void {
    try {
      this.core.formation.arrange();
    } catch (error) {
      this.core.fail(LongtailError.from(error));
    }
  }

  /** The link to a node was measured, or cannot be. */
  linkMeasured(): void {
    this.core.figures.linkMeasured();
    this.core.changed();
  }

  /** The fleet changed: look again. */
  changed(): void {
    this.core.changed();
  }

  nodeEvent(event: Parameters<RunCore['emit']>[0]): void {
    if (this.over) return;
    if (event.event === 'node_left' || event.event === 'node_paused') this.awaited = new Set([...this.awaited].filter((node) => node !== event.node));
    this.core.emit(event);
  }

  stop(error: LongtailError): void {
    this.core.fail(error);
  }

  /** Never rejects: whatever happens is in the verdict. */
  async execute(): Promise<Verdict> {
    const { core } = this;
    const { events, snapshot } = this.beginning;
    for (const event of events) core.emit(event);
    let error: LongtailError | undefined;
    try {
      if (snapshot !== undefined) restore(core, snapshot);
      await this.rejoin();
      await this.train();
    } catch (thrown) {
      error = LongtailError.from(thrown);
    }
    return this.conclude(error);
  }

  row(): JobRow {
    const { core } = this;
    if (this.lastRow !== undefined) return this.lastRow;
    return {
      run: core.run,
      name: core.job.name,
      status: this.status,
      submittedAtMs: core.submittedAtMs,
      progress: core.training === undefined ? 0 : core.record.fraction(core.training.leases),
      loss: core.record.metrics.train_loss ?? 0,
      workers: core.ready.length,
      folder: core.store.folder,
    };
  }

  /** Those who took part look for the server by themselves: once they are all here they are laid out together. */
  private async rejoin(): Promise<void> {
    const { core } = this;
    if (this.awaited.size === 0) return;
    const untilMs = core.clock.nowMs() + REJOIN_MS;
    while (core.members.length === 0 && core.clock.nowMs() < untilMs) await core.wait(untilMs);
    this.awaited = new Set();
    core.freed();
  }

  private async train(): Promise<void> {
    const { core } = this;
    do {
      await gather(core, core.begun ? 1 : core.job.cluster.minWorkers, this.countFleet);
      this.status = 'running';
      await core.auto.begin();
    } while (core.groups.length === 0 || !(core.begun || (await initialise(core, core.groups[0]!))));
    await core.following.begin(core.clock.nowMs() + core.job.sync.minDeadlineMs);
    await this.record();
    core.training!.announceStart();
    while (this.samplesLeft()) await this.phase();
    if (core.training!.validationSamples > 0 && core.record.validatedVersion !== core.version) await this.validate();
  }

  private async record(): Promise<void> {
    const { core, beginning, snapshots } = this;
    if (core.store.recording === undefined) return;
    if (beginning.volatile) await core.recorder.succeed(await snapshots.take());
    else if (beginning.past !== undefined && beginning.snapshot !== undefined) await core.recorder.goOn();
    else await core.recorder.begin(await snapshots.take());
  }

  /** The next thing to do, by who is there and what is due. */
  private async phase(): Promise<void> {
    const { core } = this;
    core.signal.throwIfAborted();
    core.roster.sweep();
    core.auto.takeUp();
    admitPrepared(core);
    const strategy = core.dependencies.strategy(core.job);
    const [first, second] = core.groups;
    if (first === undefined) await this.requireWorker();
    else if (core.training!.leases.totals().applied >= core.record.validationDueAt) await this.validate();
    else if (second === undefined && first.solo && stepsAlone(core.job)) await runSolo(core, first, this.meanwhile);
    else await runRounds(core, strategy, { meanwhile: this.meanwhile, mustEnd: () => this.roundsMustEnd });
  }

  /** A lone worker may step for itself; groups came, go or are to be moved; or another way to exchange was chosen. */
  private get roundsMustEnd(): boolean {
    const { auto, formation, roster, groups, job } = this.core;
    this.arrange();
    const isPrepared = () => roster.has('prepared') && formation.groups.some(({ prepared }) => prepared);
    const changes = auto.follow() || formation.moving || isPrepared() || roster.has('failed');
    return changes || (groups.length === 1 && groups[0]!.solo && stepsAlone(job));
  }

  private readonly meanwhile = async (): Promise<void> => {
    await this.snapshots.whenDue();
    await this.core.following.whenDue();
  };

  private readonly requireWorker = (): Promise<void> => gather(this.core, 1, this.countFleet);

  private async validate(): Promise<void> {
    const { core } = this;
    await evaluate(core, this.requireWorker);
    core.training!.planValidation();
  }

  private samplesLeft(): boolean {
    const { applied, lost, total } = this.core.training!.leases.totals();
    return applied + lost < total;
  }

  /** Sends everybody home, saves what was learnt and says how it went. */
  private async conclude(failure: LongtailError | undefined): Promise<Verdict> {
    const { core } = this;
    this.ending = true;
    core.formation.end();
    const { model, error } = await this.wrapUp(failure);
    const status = error === undefined ? 'succeeded' : error.code === 'cancelled' ? 'cancelled' : 'failed';
    const totals = core.training?.leases.totals();
    const verdict: Verdict = {
      event: 'verdict',
      status,
      run: core.run,
      job: core.job.name,
      engine: [...core.roster.engines].sort().join('+'),
      metrics: { ...core.record.metrics },
      samples: { applied: totals?.applied ?? 0, lost: totals?.lost ?? 0 },
      seconds: (core.clock.nowMs() - core.submittedAtMs) / 1000,
      bytes: core.roster.totalTraffic(),
      model,
      reason: error?.message ?? (totals?.lost ? `every sample was applied, but for ${totals.lost} that were lost` : 'every sample was applied'),
      ...(error === undefined ? {} : { error: error.toWire() }),
    };
    core.emit(verdict);
    this.status = status;
    this.lastRow = this.row();
    core.dispose();
    this.snapshots.dispose();
    await core.store.finish(verdict).catch(() => undefined); // the verdict stands; nothing is left that could be done
    return verdict;
  }

  private async wrapUp(failure: LongtailError | undefined): Promise<{ model: string; error: LongtailError | undefined }> {
    const { core } = this;
    const reason = failure === undefined ? 'the run is complete' : `the run ends: ${failure.message}`;
    for (const member of core.roster.members) {
      core.roster.dismiss(member, reason);
    }
    for (const open of core.tasks.unsettled) this.settleAtEnd(open, reason);
    core.roster.sweep();
    const nothingLearnt = core.training === undefined || (failure !== undefined && core.version === 0);
    if (nothingLearnt) return { model: '', error: failure };
    const { model, error } = await this.snapshots.saveLast();
    return { model, error: failure ?? error };
  }

  private settleAtEnd(open: Parameters<Tasks['settle']>[0], reason: string): void {
    if (open.leases.length > 0) this.core.tasks.settle(open, { applied: 0, weight: 0, reason });
    else this.core.tasks.callOff(open);
  }
}

/** What a task still takes, by the pace of its group; local steps may end at any. */
function remainingMs({ group, samples, startedAtMs, task }: GroupTask, nowMs: number): number {
  return task.steps.length > 0 ? 0 : startedAtMs + (expectedMs(group.speed, samples) ?? 0) - nowMs;
}
