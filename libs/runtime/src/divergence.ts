import { LongtailError } from '@longtail/core';
import type { Group } from './group.js';
import type { RunCore } from './run-core.js';

/** Commits in a row that a non-finite contribution went before, from different nodes, after which it is the run and not a node. */
const NON_FINITE_COMMITS = 3;

export function divergence(core: RunCore, who: string): LongtailError {
  return new LongtailError(`the loss or gradient of ${who} is not finite at version ${core.version}`, {
    code: 'diverged',
    where: `run ${core.run}`,
    hint: `Lower train.learningRate (now ${core.job.train.learningRate}), add warm-up, or set train.clipNorm; check the data for NaN.`,
  });
}

/** One worker's NaN is that worker's; everybody's is the run's. */
export class NonFiniteWatch {
  /** Since the last commit. */
  private readonly groups = new Set<Group>();
  private othersBroken = false;

  constructor(private readonly core: RunCore) {}

  /** A contribution came and was worthless, or its worker is gone. */
  broken(group: Group, nonFinite: boolean): void {
    if (nonFinite) this.groups.add(group);
    else this.othersBroken = true;
    const everybody = this.groups.size > 0 && !this.othersBroken && this.core.groups.every((one) => this.groups.has(one));
    if (everybody) throw divergence(this.core, 'every worker');
  }

  committed(): void {
    this.count();
    this.groups.clear();
    this.othersBroken = false;
  }

  /** Nobody is at work any more, and nothing was committed. */
  nobodyLeft(): void {
    if (this.groups.size > 0 && !this.othersBroken) throw divergence(this.core, 'every worker');
    this.committed();
  }

  private count(): void {
    const { core, groups } = this;
    const { nonFinite: seen } = core.record;
    if (groups.size === 0) {
      seen.commits = 0;
      seen.nodes.clear();
      return;
    }
    seen.commits++;
    for (const { id } of groups) seen.nodes.add(id);
    if (seen.commits >= NON_FINITE_COMMITS && seen.nodes.size > 1) {
      throw divergence(core, `${seen.nodes.size} workers before ${seen.commits} commits running`);
    }
  }
}
