import { localStateCount, ownStateBytes, withSync, type Job, type SyncChoice, type SyncFleet, type SyncLink } from '@longtail/core';
import { admitPrepared } from './gather.js';
import type { Group } from './group.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';

/** Who is about to be ready is waited for, so that one choice is made for all; but not longer than this. */
const SETTLE_MS = 60_000;

/** What `sync: auto` stands for: chosen when training begins, looked at again between rounds. */
export class AutoSync {
  private standing: SyncChoice | undefined;
  private next: SyncChoice | undefined;

  constructor(
    private readonly core: RunCore,
    readonly isAsked: boolean,
  ) {}

  /** Goes on with what was chosen before: `job` is as it ran. */
  restore(job: Job): void {
    const { strategy, localSteps, localBatch, fragments, codec, downCodec = codec } = job.sync;
    if (strategy === 'auto') return;
    this.core.job = job;
    this.standing = { strategy, localSteps: localSteps as number, localBatch, fragments, codec, downCodec, computeMs: 0, exchanges: [], reason: '' };
  }

  /** The first choice, once links are measured and those who prepare are ready. */
  async begin(): Promise<void> {
    if (!this.isAsked) return;
    const { core } = this;
    const untilMs = core.clock.nowMs() + SETTLE_MS;
    while (this.isUnsettled() && core.clock.nowMs() < untilMs) {
      await core.wait(untilMs);
      admitPrepared(core);
    }
    this.next = this.choose(this.standing);
    this.takeUp();
  }

  /** Whether another way to exchange suits links and speeds as they are now: `takeUp` is for when nobody is at work. */
  follow(): boolean {
    this.next = this.isAsked ? this.choose(this.standing) : undefined;
    return this.next !== undefined;
  }

  /** Between phases: tasks and commits of one go by one way to exchange. */
  takeUp(): void {
    if (this.next !== undefined) this.adopt(this.next);
    this.next = undefined;
  }

  private isUnsettled(): boolean {
    const { members } = this.core.roster;
    return members.some(({ state, session }) => state === 'preparing' || state === 'prepared' || (state === 'ready' && session.linkPending));
  }

  /** Undefined: it is the one that stands. */
  private choose(from: SyncChoice | undefined): SyncChoice | undefined {
    const { core, standing } = this;
    if (core.groups.length === 0) return undefined;
    const choice = core.dependencies.chooseSync(core.job, fleetOf(core), from);
    const stands = choice.strategy === standing?.strategy && choice.localSteps === standing.localSteps && choice.codec === standing.codec;
    if (!stands) return choice;
    this.standing = choice;
    return undefined;
  }

  private adopt(choice: SyncChoice): void {
    const { core } = this;
    this.standing = choice;
    core.job = withSync(core.job, choice);
    core.emit({ event: 'sync', run: core.run, ...choice });
  }
}

function fleetOf({ groups, job }: RunCore): SyncFleet {
  const linkOf = (group: Group, member: Member): SyncLink => {
    const { name, prepared, link } = member;
    return { name, values: prepared!.layout.length, mayStep: hasRoom(group, member, job), ...link };
  };
  return { groups: groups.map((group) => ({ node: group.id, msPerSample: group.speed.msPerSample, links: group.members.map((member) => linkOf(group, member)) })) };
}

/** For an optimizer of its own, beside what it counted as it got ready for `auto`: who holds the whole model moments that come and go, as it may be alone. */
function hasRoom(group: Group, member: Member, { train: { optimizer } }: Job): boolean {
  const values = group.stagesOf(member).reduce((sum, stage) => sum + member.layoutOf(stage).length, 0);
  const counted = group.solo ? 2 * Float32Array.BYTES_PER_ELEMENT * localStateCount(optimizer) : 0;
  return member.prepared!.ready.memoryBytes + (ownStateBytes(optimizer) - counted) * values <= member.session.hello.device.memoryBytes;
}
