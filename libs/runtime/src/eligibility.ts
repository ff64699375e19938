import type { Job } from '@longtail/core';
import type { Hello } from '@longtail/protocol';

/** Why a node may not work on a job; undefined when it may. */
export function obstacle(job: Job, hello: Hello): string | undefined {
  const { engine } = job.cluster;
  if (engine !== undefined && hello.device.engine !== engine) return `runs on ${hello.device.engine}, the job wants ${engine}`;
  if (job.model.type === 'module' && !hello.allowCode) return 'does not let jobs run their own code (start it with --allow-code)';
  return undefined;
}

export interface Candidate {
  readonly node: string;
  readonly hello: Hello;
  /** Run that it works for. */
  readonly run: string | undefined;
  /** Why it rests; empty: it does not. */
  readonly paused: string;
}

export interface Claimant {
  readonly run: string;
  readonly job: Job;
  /** Incarnations of nodes released from the run for a reason: who is started anew gets another chance. */
  readonly excluded: ReadonlySet<string>;
  /** It has begun; until then it takes nothing before it can take enough. */
  readonly begun: boolean;
  /** Nodes that it waits for before it takes anyone. */
  readonly awaited: ReadonlySet<string>;
}

/** What the fleet is for a run. */
export interface Census {
  /** Working for it. */
  readonly mine: number;
  /** Eligible and free. */
  readonly idle: readonly string[];
  /** Eligible, but at work for another run. */
  readonly busy: number;
  /** Eligible, but at rest, and why. */
  readonly paused: readonly { readonly name: string; readonly reason: string }[];
  /** Why the others are not eligible. */
  readonly obstacles: readonly { readonly name: string; readonly reason: string }[];
  /** Some may join that are not here. */
  readonly open: boolean;
}

/** `fleetSize`: as many nodes as there will ever be. */
export function census(claimant: Claimant, fleet: readonly Candidate[], fleetSize = Infinity): Census {
  const idle: string[] = [];
  const obstacles: { name: string; reason: string }[] = [];
  const resting: { name: string; reason: string }[] = [];
  let mine = 0;
  let busy = 0;
  for (const { node, hello, run, paused } of fleet) {
    const reason = claimant.excluded.has(hello.incarnation) ? 'was released from the run' : obstacle(claimant.job, hello);
    if (run === claimant.run) mine++;
    else if (reason !== undefined) obstacles.push({ name: hello.name, reason });
    else if (paused !== '') resting.push({ name: hello.name, reason: paused });
    else if (run === undefined) idle.push(node);
    else busy++;
  }
  return { mine, idle, busy, paused: resting, obstacles, open: fleet.length < fleetSize };
}

/** Nodes for runs: in the order of submission, each run takes every eligible node, once there are enough for it to begin. */
export function allot(
  claimants: readonly Claimant[],
  fleet: readonly Candidate[],
): readonly { readonly run: string; readonly node: string }[] {
  const taken: { run: string; node: string }[] = [];
  let free = fleet;
  for (const claimant of claimants) {
    const { mine, idle } = census(claimant, free);
    if (!claimant.begun && !isEnough(claimant, mine, idle)) continue;
    taken.push(...idle.map((node) => ({ run: claimant.run, node })));
    const gone = new Set(idle);
    free = free.filter(({ node }) => !gone.has(node));
  }
  return taken;
}

function isEnough({ awaited, job }: Claimant, mine: number, idle: readonly string[]): boolean {
  return awaited.size > 0 ? [...awaited].every((node) => idle.includes(node)) : mine + idle.length >= job.cluster.minWorkers;
}
