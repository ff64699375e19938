import type { LongtailError, ParameterLayout, RunEvent, Verdict } from '@longtail/core';
import type { Group } from './group.js';
import type { Member, MemberState } from './member.js';
import type { SharedLine } from './shared-line.js';

export interface Measure {
  readonly name: string;
  /** Of the whole model. */
  readonly layout: ParameterLayout;
  readonly signature: string;
  readonly blocks: number | undefined;
  readonly trainSamples: number;
  readonly validationSamples: number;
}

export interface RosterHost {
  readonly run: string;
  /** That all groups exchange over. */
  readonly line: SharedLine;
  emit(event: RunEvent): void;
  /** The links to its members are not what they were. */
  linkChanged(): void;
  changed(): void;
  /** A node that the run released is free for others. */
  freed(): void;
}

/** Tasks that fail, or deadlines that pass, in a row before a worker is released from the run. */
const MAX_STRIKES = 3;
const MAX_MISSES = 5;

/** The workers of a run, in the order in which they joined, and who may not come back. */
export class Roster {
  members: Member[] = [];
  /** Incarnations of those released for a reason. */
  readonly excluded = new Set<string>();
  /** Engines that took part. */
  readonly engines = new Set<string>();
  /** What the first ready group said of model and data: all must agree with it. */
  measure: Measure | undefined;
  /** Why the last member could not prepare, for a run that nobody can work on. */
  preparationError: LongtailError | undefined;
  /** What members are at; undefined: to be looked up, as they changed. */
  private states: ReadonlySet<MemberState> | undefined;
  /** Of those that are gone. */
  private traffic: Verdict['bytes'] = { up: 0, down: 0, direct: 0 };

  constructor(private readonly host: RosterHost) {}

  /** What they are at has changed. */
  regrouped(): void {
    this.states = undefined;
  }

  take(member: Member): void {
    this.members.push(member);
    this.membersChanged();
  }

  private membersChanged(): void {
    this.regrouped();
    this.host.linkChanged();
  }

  /** Somebody is at that: asked again and again, where hardly anything changes. */
  has(state: MemberState): boolean {
    return (this.states ??= new Set(this.members.map((member) => member.state))).has(state);
  }

  admit(group: Group): void {
    group.begin(this.host.line);
    for (const member of group.members) {
      const { ready, layout } = member.prepared!;
      const { samplesPerSecond, memoryBytes } = ready;
      const { engine } = member.session.hello.device;
      const { node, name } = member;
      member.state = 'ready';
      this.engines.add(engine);
      this.host.emit({
        event: 'worker_ready',
        run: this.host.run,
        node,
        name,
        engine,
        samplesPerSecond,
        parameters: layout.length,
        memoryBytes,
      });
    }
  }

  /** One task of a member failed or was refused; after a few in a row it is released. */
  strike(member: Member, reason: string): void {
    member.strikes++;
    if (member.strikes >= MAX_STRIKES) this.release(member, `${MAX_STRIKES} tasks in a row failed, the last: ${reason}`);
  }

  /** A group missed a deadline; after a few in a row its members are released. */
  missed(group: Group, reason: string): void {
    group.misses++;
    if (group.misses < MAX_MISSES) return;
    const why = group.solo ? 'its device or link is too slow for this run' : 'its devices or links are too slow for this run';
    for (const member of group.members) this.release(member, `${reason}, the ${MAX_MISSES}th deadline in a row: ${why}`);
  }

  succeeded(group: Group): void {
    group.misses = 0;
    for (const member of group.members) member.strikes = 0;
  }

  /** Sends a member home; the node stays, the run will not take it again. */
  release(member: Member, reason: string): void {
    this.excluded.add(member.session.hello.incarnation);
    this.host.emit({ event: 'warning', run: this.host.run, message: `${member.name} released: ${reason}`, hint: '' });
    this.dismiss(member, reason);
    this.host.freed();
  }

  /** Takes a member out of the run. Its open tasks are lost; the phase under way settles them. */
  dismiss(member: Member, reason: string): void {
    member.send({ message: 'release', release: { run: this.host.run, reason } });
    member.depart(reason);
    this.host.changed();
  }

  /** Lets those go who are to rest and have nothing in hand, nor anything that their group still `owes`. */
  letGo(owes: (group: Group) => boolean = () => false): void {
    if (!this.has('finishing')) return;
    const done = this.members.filter((member) => member.state === 'finishing' && !member.workload.busy && !owes(member.group!));
    for (const member of done) this.dismiss(member, member.restReason);
    if (done.length > 0) this.host.freed();
  }

  /** Forgets members who are gone and have nothing left to settle. */
  sweep(): void {
    const isOver = ({ state, workload }: Member) => state === 'gone' && !workload.any;
    const over = this.members.filter(isOver);
    if (over.length === 0) return;
    for (const member of over) this.traffic = together(this.traffic, member.traffic.total);
    this.members = this.members.filter((member) => !isOver(member));
    this.membersChanged();
  }

  /** Of everybody who ever took part. */
  totalTraffic(): Verdict['bytes'] {
    return this.members.map((member) => member.traffic.total).reduce(together, this.traffic);
  }
}

function together(a: Verdict['bytes'], b: Verdict['bytes']): Verdict['bytes'] {
  return { up: a.up + b.up, down: a.down + b.down, direct: a.direct + b.direct };
}
