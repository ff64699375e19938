import { LongtailError, mayStepLocally, nodesOf, type AskLayout, type BlockRange, type Clock, type DeviceInfo, type GroupLayout, type Job, type LayoutNode, type LayoutRequest, type MeasuredPeerLink, type Plan, type RunEvent, type RunLayout, type Settling, type StandingPlan, type WantedFigures } from '@longtail/core';
import type { Neighbour, Prepare } from '@longtail/protocol';
import { Group } from './group.js';
import { LinkDrift } from './link-drift.js';
import type { Member, MemberState } from './member.js';
import type { Paces } from './paces.js';
import type { Measure } from './roster.js';

export interface FormationHost {
  readonly run: string;
  readonly job: Job;
  /** In the order in which they joined. */
  readonly members: readonly Member[];
  readonly measure: Measure | undefined;
  readonly begun: boolean;
  readonly clock: Clock;
  /** Of the run, at its present speed. */
  readonly remainingMs: number;
  /** A member is at that. */
  has(state: MemberState): boolean;
  /** Number of the last task given out. */
  readonly lastTask: number;
  readonly plan: AskLayout;
  readonly paces: Paces;
  /** Direct links, as far as they were measured. */
  readonly measuredPeers: readonly MeasuredPeerLink[];
  passesOf(node: string): Pick<LayoutNode, 'blocks' | 'handOverMs'> | undefined;
  /** The layout is asked for again when they are there. */
  want(figures: WantedFigures): void;
  prepareMessage(): Omit<Prepare, 'place'>;
  /** Of a direct link; empty: there are none. */
  linkKey(): string;
  /** Most microbatches that a stage holds at once. Throws LongtailError `usage` for a schedule that is not there. */
  stashCap(group: Group, stage: number): number;
  emit(event: RunEvent): void;
  changed(): void;
  /** The run ends with it. */
  fail(error: LongtailError): void;
}

/** A layout that was asked for. */
interface Asked {
  readonly request: LayoutRequest;
  /** By the move before, the groups are to be left alone. */
  readonly settled: boolean;
  /** Undefined: it is being made. */
  layout: RunLayout | undefined;
}

interface AskedBeside extends Asked {
  readonly stop: AbortController;
}

/** A decision to stay holds for so long, whatever rates do: they come and go on machines that are shared. */
const STAYS_MS = 10_000;

/** The groups of a run: who stands where, and what happens to them when nodes come and go. */
export class Formation {
  /** In the order in which contributions are added. */
  private laidOut: readonly Group[] = [];
  /** What was found out of them since they, or what their members are at, were others. */
  private found: { ready?: readonly Group[]; areIntact?: boolean; linksDrifted?: boolean | undefined } = {};
  /** What the layout lacks to be whole. */
  lacks: string | undefined;
  /** Why no layout of those who are here will do. */
  shortfall: LongtailError | undefined;
  /** It is being measured what the layout wants to know: that ends by itself. */
  private measuring = false;
  /** A layout that is made beside the run, or waits for those at work to be done. */
  private asked: AskedBeside | undefined;
  /** A group that is at work would have to go: the phase under way should come to an end. */
  moving = false;
  private outdated = false;
  /** What the groups work by, and until when they are to be left alone. */
  private plan: Plan | undefined;
  private settles: Settling | undefined;
  /** Rates were weighed, and nothing moves by them before that. */
  private staysUntilMs = -Infinity;
  private readonly linkDrift = new LinkDrift();
  private pipelines = 0;

  constructor(private readonly host: FormationHost) {}

  get groups(): readonly Group[] {
    return this.laidOut;
  }

  /** Groups that take part: the same list as long as they are the same. */
  get ready(): readonly Group[] {
    return (this.found.ready ??= this.groups.filter((group) => group.ready));
  }

  /** The groups, or what their members are at, are others. */
  regrouped(): void {
    this.found = {};
  }

  /** What is known of somebody's link is not what it was. */
  linkChanged(): void {
    this.found.linksDrifted = undefined;
  }

  private get areIntact(): boolean {
    return (this.found.areIntact ??= this.groups.every((group) => group.intact));
  }

  private get haveLinksDrifted(): boolean {
    return (this.found.linksDrifted ??= this.linkDrift.in(this.host.members));
  }

  /** All groups of the layout take part: whoever has no place in one is a spare. */
  get complete(): boolean {
    return this.lacks === undefined && this.groups.length > 0 && this.groups.every((group) => group.ready);
  }

  /** What the layout lacks may be there soon, by itself: it is measured, or another one is made. */
  get pending(): boolean {
    return this.measuring || this.asked !== undefined;
  }

  /** It is being made. */
  get planning(): boolean {
    return this.asked !== undefined && this.asked.layout === undefined;
  }

  /** A node came or went: the layout is asked for again. */
  changed(): void {
    this.outdated = true;
  }

  /** Brings the groups in line with the layout, where that disturbs nobody at work. Throws what the layout throws. */
  arrange(): void {
    const { host } = this;
    // Soon over, and everybody else is at work meanwhile: a layout without those who are to rest is made when they are gone.
    if (host.has('finishing') && this.groups.some((group) => group.finishing)) return;
    // Before training nothing is lost by a move, and none is weighed.
    if (this.asked !== undefined && this.asked.request.begun !== host.begun) this.askAgain();
    const asked = this.asked ?? this.ask();
    if (asked?.layout !== undefined) this.follow(asked, asked.layout);
  }

  /** No layout is wanted any more. */
  end(): void {
    this.asked?.stop.abort(new LongtailError('the run has ended', { code: 'cancelled' }));
    this.asked = undefined;
  }

  private askAgain(): void {
    this.end();
    this.outdated = true;
  }

  /** Undefined where there is no reason to. */
  private ask(): Asked | undefined {
    const { host } = this;
    const nowMs = host.clock.nowMs();
    const settled = nowMs < this.staysUntilMs || this.isSettled(nowMs);
    const drifted = host.paces.drifted || this.haveLinksDrifted;
    if (!this.outdated && (settled || !drifted) && this.areIntact) return undefined;
    const standing = this.groups.filter((group) => group.intact);
    const request = {
      job: host.job,
      nodes: this.present.map((member) => this.describe(member)),
      peers: host.measuredPeers,
      current: standing.map(({ plan }) => plan),
      begun: host.begun,
      standing: this.standingPlan(nowMs),
      model: host.measure,
    };
    const stop = new AbortController();
    const layout = host.plan(request, stop.signal);
    if (!(layout instanceof Promise)) return { request, settled, layout };
    // What changes from here on is for the next one.
    this.outdated = false;
    const asked = { request, settled, layout: undefined, stop };
    void this.answered(asked, layout);
    return (this.asked = asked);
  }

  private async answered(asked: AskedBeside, layout: Promise<RunLayout>): Promise<void> {
    try {
      asked.layout = await layout;
      if (asked.stop.signal.aborted) return;
      this.arrange();
      this.host.changed();
    } catch (error) {
      if (!asked.stop.signal.aborted) this.host.fail(LongtailError.from(error));
    }
  }

  private get present(): readonly Member[] {
    return this.host.members.filter(({ state }) => state !== 'gone' && state !== 'failed');
  }

  /** Forms what is new in a layout; later, where somebody at work would have to go. Who left while it was made is as one who leaves right after. */
  private follow({ request, settled }: Asked, { groups, lacks, shortfall, reason, plan, wants, replan }: RunLayout): void {
    const { host } = this;
    const nowMs = host.clock.nowMs();
    const members = this.present;
    const here = new Set(members.map(({ node }) => node));
    const gone = new Set(request.nodes.map(({ node }) => node).filter((node) => !here.has(node)));
    const whole = groups.filter((group) => !nodesOf(group).some((node) => gone.has(node)));
    const standing = this.groups.filter((group) => group.intact);
    const wanted = new Map(whole.map((group) => [keyOf(group), group]));
    const kept = standing.filter(({ plan }) => wanted.delete(keyOf(plan)));
    const stays = new Set(kept);
    const dissolved = this.groups.filter((group) => !stays.has(group));
    this.moving = dissolved.some((group) => group.busy);
    if (this.moving) return;
    if (this.asked === undefined) this.outdated = false;
    else this.outdated ||= whole.length < groups.length;
    this.asked = undefined;
    this.linkDrift.note(request.nodes);
    this.linkChanged();
    this.lacks = lacks;
    this.shortfall = shortfall;
    this.measuring = wants !== undefined;
    for (const member of dissolved.flatMap((group) => group.members.filter((member) => member.group === group))) {
      if (member.state !== 'gone' && member.state !== 'failed') member.vacate();
    }
    const byNode = new Map(members.map((member) => [member.node, member]));
    const formed = [...wanted.values()].map((group) => this.form(group, byNode));
    this.laidOut = [...kept, ...formed];
    this.regrouped();
    for (const group of formed) this.prepare(group);
    if (wants !== undefined) host.want(wants);
    if (replan !== undefined) {
      const { settles, ...decision } = replan;
      this.settles = settles;
      if (!decision.moves) this.staysUntilMs = nowMs + STAYS_MS;
      host.emit({ event: 'replan', run: host.run, ...decision });
    }
    if (plan !== undefined) {
      host.paces.workBy(plan, request.nodes);
      this.plan = plan;
    } else if (!settled) host.paces.keep(request.nodes);
    if (dissolved.length + formed.length === 0) return;
    if (plan !== undefined) host.emit({ event: 'planned', run: host.run, plan });
    this.announce(members, reason);
  }

  private describe({ node, name, session }: Member): LayoutNode {
    const { host } = this;
    return { node, name, device: session.hello.device as DeviceInfo, link: session.link, maxUploadBitsPerSecond: session.hello.maxUploadBitsPerSecond, ...host.passesOf(node), pace: host.paces.of(node) };
  }

  private isSettled(nowMs: number): boolean {
    const { settles } = this;
    return settles !== undefined && nowMs < settles.untilMs && (settles.firmly || !this.host.paces.slumped);
  }

  private standingPlan(nowMs: number): StandingPlan | undefined {
    const { host, plan, settles } = this;
    if (plan === undefined || !host.begun) return undefined;
    const setupMs = Math.max(0, ...host.members.map((member) => member.setupMs));
    return { plan, settles, nowMs, remainingMs: host.remainingMs, setupMs };
  }

  private form(plan: GroupLayout, members: ReadonlyMap<string, Member>): Group {
    const chosen = nodesOf(plan).map((node) => {
      const member = members.get(node);
      if (member === undefined || (member.group !== undefined && member.group.intact)) {
        throw new LongtailError(`the layout names node ${node}, which is ${member === undefined ? 'not here' : 'in two groups'}`, {
          code: 'usage',
          where: 'layout',
        });
      }
      return member;
    });
    return new Group(chosen.length === 1 ? chosen[0]!.node : `p${++this.pipelines}`, plan, chosen);
  }

  private prepare(group: Group): void {
    const { host } = this;
    const message = host.prepareMessage();
    const neighbours = this.neighboursIn(group);
    const { microbatch, stages: places } = group.plan;
    for (const [worker, member] of group.members.entries()) {
      const stages = group.stagesOf(member);
      const recompute = stages.some((stage) => places[stage]!.recompute === true);
      const use = group.solo ? NO_PASSES : { microbatch, inFlight: host.stashCap(group, stages[0]!), recompute };
      const held = stages.map((stage) => ({ stage, ...wireRange(group, stage) }));
      member.prepare(group, worker, message, { held, neighbours: neighbours[worker]!, afterTask: host.lastTask, ...use });
    }
  }

  /** By worker, those that hold a stage next to one of its own; where groups may step for themselves, all others: it shares parameters with some. */
  private neighboursIn({ members, stages }: Group): readonly (readonly Neighbour[])[] {
    const neighbours: Neighbour[][] = members.map(() => []);
    const above = (of: readonly (readonly Member[])[]) => of.slice(1).flatMap((upper, i) => of[i]!.flatMap((a) => upper.map((b) => [a, b] as const)));
    const all = members.flatMap((a, i) => members.slice(i + 1).map((b) => [a, b] as const));
    for (const [lower, upper] of mayStepLocally(this.host.job.sync) ? all : above(stages)) {
      const [i, k] = [members.indexOf(lower), members.indexOf(upper)];
      if (neighbours[i]!.some(({ worker }) => worker === k)) continue;
      const link = this.linkBetween(lower, upper);
      neighbours[i]!.push({ worker: k, ...link.upper });
      neighbours[k]!.push({ worker: i, ...link.lower });
    }
    return neighbours;
  }

  /** How each of two neighbours is to see the other: one of them dials, where the other one can be reached. */
  private linkBetween(lower: Member, upper: Member): { readonly lower: Seen; readonly upper: Seen } {
    const [lowerAddress, upperAddress] = [lower.session.hello.peerAddress, upper.session.hello.peerAddress];
    const key = lowerAddress === '' && upperAddress === '' ? '' : this.host.linkKey();
    const upwards = key !== '' && upperAddress !== '';
    return {
      lower: { node: lower.node, address: key === '' || upwards ? '' : lowerAddress, key, curveKey: lower.session.hello.curveKey },
      upper: { node: upper.node, address: upwards ? upperAddress : '', key, curveKey: upper.session.hello.curveKey },
    };
  }

  /** A layout of solo workers alone goes without saying. */
  private announce(members: readonly Member[], reason: string): void {
    const spares = members.filter(({ group }) => group === undefined).map(({ node }) => node);
    if (spares.length === 0 && this.pipelines === 0) return;
    const groups = this.groups.map(({ id, plan, solo, stages }) => ({
      group: id,
      schedule: solo ? '' : plan.schedule,
      microbatch: solo ? 0 : plan.microbatch,
      stages: stages.flatMap((holders, stage) => holders.map(({ node, name }) => ({ node, name, ...this.blocksOf(plan, stage) }))),
    }));
    this.host.emit({ event: 'layout', run: this.host.run, groups, spares, reason });
  }

  /** `end` 0: all, as long as nobody has counted. */
  private blocksOf(plan: GroupLayout, stage: number): BlockRange {
    const { blocks } = plan.stages[stage]!;
    return blocks === 'all' ? { start: 0, end: this.host.measure?.blocks ?? 0 } : blocks;
  }
}

type Seen = Omit<Neighbour, 'worker'>;

const NO_PASSES = { microbatch: 0, inFlight: 0, recompute: false };

/** `end` 0: all, which a solo worker has even where its blocks were counted; whether they are all is checked when it is ready. */
function wireRange({ plan, solo }: Group, stage: number): BlockRange {
  const { blocks } = plan.stages[stage]!;
  return solo || blocks === 'all' ? { start: 0, end: 0 } : { start: blocks.start, end: blocks.end };
}

/** Layouts of one key are the same group. */
function keyOf(group: GroupLayout): string {
  const { stages, microbatch, schedule } = group;
  return JSON.stringify(nodesOf(group).length > 1 ? [stages, microbatch, schedule] : stages);
}
