import { LongtailError, mayStepLocally, nodesOf, type BlockRange, type Clock, type DeviceInfo, type GroupLayout, type Job, type LayoutNode, type LayoutPlan, type MeasuredPeerLink, type Plan, type RunEvent, type Settling, type StandingPlan, type WantedFigures } from '@longtail/core';
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
  readonly plan: LayoutPlan;
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
  measuring = false;
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

  /** A node came or went: the layout is asked for again. */
  changed(): void {
    this.outdated = true;
  }

  /** Brings the groups in line with the layout, where that disturbs nobody at work. Throws what the layout throws. */
  arrange(): void {
    const { host } = this;
    // Soon over, and everybody else is at work meanwhile: a layout without those who are to rest is made when they are gone.
    if (host.has('finishing') && this.groups.some((group) => group.finishing)) return;
    const nowMs = host.clock.nowMs();
    const settled = nowMs < this.staysUntilMs || this.isSettled(nowMs);
    const drifted = host.paces.drifted || this.haveLinksDrifted;
    if (!this.outdated && (settled || !drifted) && this.areIntact) return;
    const standing = this.groups.filter((group) => group.intact);
    const members = host.members.filter(({ state }) => state !== 'gone' && state !== 'failed');
    const { groups, lacks, shortfall, reason, plan, wants, replan } = host.plan({
      job: host.job,
      nodes: members.map((member) => this.describe(member)),
      peers: host.measuredPeers,
      current: standing.map(({ plan }) => plan),
      begun: host.begun,
      standing: this.standingPlan(nowMs),
      model: host.measure,
    });
    const wanted = new Map(groups.map((group) => [keyOf(group), group]));
    const kept = standing.filter(({ plan }) => wanted.delete(keyOf(plan)));
    const stays = new Set(kept);
    const dissolved = this.groups.filter((group) => !stays.has(group));
    this.moving = dissolved.some((group) => group.busy);
    if (this.moving) return;
    this.outdated = false;
    this.linkDrift.note(members);
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
      host.paces.workBy(plan);
      this.plan = plan;
    } else if (!settled) host.paces.keep();
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
