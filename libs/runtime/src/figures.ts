import type { Clock, Job, LayoutNode, RunEvent, WantedFigures } from '@longtail/core';
import type { PeerMeasured, PeerProbed, Prepare, Profiled, WorkerMessage } from '@longtail/protocol';
import { Answers } from './answers.js';
import type { Member } from './member.js';
import type { PeerLinks } from './peer-links.js';
import { partyOf, reachable, tournament } from './reachable.js';

export interface FiguresHost {
  readonly run: string;
  readonly job: Job;
  readonly clock: Clock;
  readonly members: readonly Member[];
  readonly peerLinks: PeerLinks;
  /** Of the largest transfer over a direct link; 0: nothing is measured. */
  readonly probeBytes: number;
  prepareMessage(): Omit<Prepare, 'place'>;
  /** Of a direct link; empty: there are none. */
  linkKey(): string;
  emit(event: RunEvent): void;
  /** What was wanted is there, or cannot be had. */
  figuresChanged(): void;
}

/** What members say while they measure. */
export type MeasuringMessage = Extract<WorkerMessage, { readonly message: 'profileProgress' | 'profiled' | 'peerProbed' | 'peerMeasured' }>;

/** Without a word for that long (of files that come, of blocks that are done) a profile is given up. */
const PROFILE_PATIENCE_MS = 60_000;
/** Longer than both ends' own limits for opening a link and measuring it. */
const PEER_PATIENCE_MS = 10_000;
/** Pairs that have not had their turn by then go unmeasured. */
const PEERS_BUDGET_MS = 10_000;

/** How long passes of blocks take a node: no blocks where that could not be had. */
type MeasuredPasses = Required<Pick<LayoutNode, 'blocks' | 'handOverMs'>>;

const NOTHING: MeasuredPasses = { blocks: [], handOverMs: 0 };

/** What a run's layout wants to know of its nodes: asked of each once, and never waited for without end. */
export class Figures {
  private readonly measured = new Map<string, MeasuredPasses>();
  private readonly asked = new Set<string>();
  private readonly profiles: Answers<Profiled>;
  private readonly probes: Answers<PeerProbed>;
  private readonly linkWaits = new Set<() => void>();

  constructor(private readonly host: FiguresHost) {
    this.profiles = new Answers(host.clock);
    this.probes = new Answers(host.clock);
  }

  /** Undefined until all that was asked for together with it is known. */
  passesOf(node: string): MeasuredPasses | undefined {
    return this.measured.get(node);
  }

  want({ nodes, microbatches }: WantedFigures): void {
    const members = this.host.members.filter(({ node, state }) => state === 'spare' && nodes.includes(node) && !this.asked.has(node));
    if (members.length === 0) return;
    for (const { node } of members) this.asked.add(node);
    void this.measure(members, microbatches);
  }

  onMessage(member: Member, message: MeasuringMessage): void {
    const { node, name } = member;
    const { run } = this.host;
    if (message.message === 'profileProgress') {
      const { done, total } = message.profileProgress;
      if (this.profiles.heard(node)) this.host.emit({ event: 'profiling', run, node, name, done, total });
    } else if (message.message === 'profiled') this.profiles.give(node, message.profiled);
    else if (message.message === 'peerMeasured') this.peerMeasured(node, message.peerMeasured);
    else this.probes.give(`${node} ${message.peerProbed.node}`, message.peerProbed);
  }

  /** The link of some node to the server was measured, or cannot be. */
  linkMeasured(): void {
    for (const look of [...this.linkWaits]) look();
  }

  /** While it trains. */
  private peerMeasured(from: string, { node, bitsPerSecond }: PeerMeasured): void {
    const { host } = this;
    const strayed = host.peerLinks.used(from, node, bitsPerSecond);
    if (strayed === undefined) return;
    host.emit({ event: 'peer_links', run: host.run, links: [strayed], ms: 0 });
    host.figuresChanged();
  }

  departed(member: Member): void {
    this.profiles.giveUp(member.node);
    this.probes.giveUpWhere((pair) => pair.split(' ').includes(member.node));
    this.linkMeasured();
  }

  private async measure(members: readonly Member[], microbatches: readonly number[]): Promise<void> {
    const passes = await this.profileAll(members, microbatches);
    await Promise.all(members.map((member) => this.linkKnown(member)));
    await this.probePeers();
    for (const { node } of members) this.measured.set(node, passes.get(node)!);
    this.host.figuresChanged();
  }

  /**
   * Workers of one host take turns: at the same time they would measure what they leave to each other, and what the first one
   * measured the next ones find in their cache.
   */
  private async profileAll(members: readonly Member[], microbatches: readonly number[]): Promise<ReadonlyMap<string, MeasuredPasses>> {
    const passes = new Map<string, MeasuredPasses>();
    const turns = new Map<string, Promise<void>>();
    for (const member of members) {
      const before = turns.get(partyOf(member)) ?? Promise.resolve();
      const turn = before.then(async () => void passes.set(member.node, await this.profile(member, microbatches)));
      turns.set(partyOf(member), turn);
    }
    await Promise.all(turns.values());
    return passes;
  }

  private async profile(member: Member, microbatches: readonly number[]): Promise<MeasuredPasses> {
    const { host } = this;
    const { node, name } = member;
    const startedAtMs = host.clock.nowMs();
    if (!member.startProfile({ ...host.prepareMessage(), microbatches })) return NOTHING;
    const profiled = await this.profiles.to(node, PROFILE_PATIENCE_MS);
    if (!member.endProfile()) return NOTHING;
    const { timings: blocks, untimed, handOverMs, cached, problem } = profiled ?? { timings: [], untimed: 0, handOverMs: 0, cached: false, problem: 'it gave no answer' };
    if (problem !== '') this.warn(`${name} could not measure the model's blocks: ${problem}`, 'It is planned with by its GFLOP/s.');
    else {
      member.session.profile = { job: host.job, timings: blocks, handOverMs };
      host.emit({ event: 'profiled', run: host.run, node, name, blocks, ...(untimed > 0 && { untimed }), handOverMs, cached, ms: host.clock.nowMs() - startedAtMs });
    }
    return { blocks, handOverMs };
  }

  /** Links are measured as nodes join, which may be now. */
  private linkKnown(member: Member): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (member.session.linkPending && member.state !== 'gone') return;
        this.linkWaits.delete(look);
        resolve();
      };
      this.linkWaits.add(look);
      look();
    });
  }

  private async probePeers(): Promise<void> {
    const { clock, peerLinks, members, run, probeBytes } = this.host;
    const startedAtMs = clock.nowMs();
    const asked = members.filter(({ node, state }) => state !== 'gone' && this.asked.has(node));
    const pairs = asked.flatMap((a, i) => asked.slice(i + 1).map((b) => [a, b] as const));
    if (probeBytes === 0) return;
    const open = pairs.filter(([a, b]) => !peerLinks.knows(a.node, b.node) && (reachable(a, b) || reachable(b, a)));
    if (open.length === 0) return;
    for (const round of tournament(open)) {
      if (clock.nowMs() < startedAtMs + PEERS_BUDGET_MS) await Promise.all(round.map(([a, b]) => this.probePair(a, b)));
    }
    if (asked.every(({ state }) => state === 'gone')) return;
    const links = peerLinks.measured.filter(({ between }) => open.some(([a, b]) => between.includes(a.node) && between.includes(b.node)));
    this.host.emit({ event: 'peer_links', run, links, ms: clock.nowMs() - startedAtMs });
  }

  private async probePair(a: Member, b: Member): Promise<void> {
    const { host, probes } = this;
    const key = host.linkKey();
    if (key === '') return;
    const dialled = reachable(a, b) ? b : a;
    const ask = (from: Member, to: Member): Promise<PeerProbed | undefined> => {
      const { peerAddress, curveKey } = to.session.hello;
      const address = to === dialled ? peerAddress : '';
      const answer = probes.to(`${from.node} ${to.node}`, PEER_PATIENCE_MS);
      from.send({ message: 'probePeer', probePeer: { run: host.run, node: to.node, address, key, curveKey, mostBytes: host.probeBytes } });
      return answer;
    };
    const answers = await Promise.all([ask(a, b), ask(b, a)]);
    if (a.state === 'gone' || b.state === 'gone') return;
    const rates = answers.map((answer) => answer?.bitsPerSecond ?? 0);
    const longest = (key: 'roundTripMs' | 'messageMs') => Math.max(...answers.map((answer) => answer?.[key] ?? 0));
    const link = { bitsPerSecond: Math.min(...rates), roundTripMs: longest('roundTripMs'), messageMs: longest('messageMs') };
    host.peerLinks.put(a.node, b.node, link.bitsPerSecond > 0 ? link : undefined);
  }

  private warn(message: string, hint: string): void {
    this.host.emit({ event: 'warning', run: this.host.run, message, hint });
  }
}
