import type { GroupDraft } from './group-draft.js';
import type { GroupCost, Scenario } from './rounds.js';
import { leastRoundMs } from './rounds.js';

/** A group that a search has chosen, with what it costs in the scenario it was chosen for. */
export interface Chosen {
  readonly layout: GroupDraft;
  readonly cost: GroupCost;
  /** Samples an inner step, as a real number. */
  readonly samples: number;
}

/** Devices that are planned together. */
export interface Site {
  /** The groups, none that overlap and with no more than `scenario.maxUploads` between them, that manage most samples in a round of this time. */
  bestWithin(roundMs: number, scenario: Scenario): readonly Chosen[];
}

export interface Solution {
  readonly scenario: Scenario;
  readonly groups: readonly Chosen[];
  readonly roundMs: number;
}

/** Rounds shorter by less than this fraction are no progress. */
const TOLERANCE = 1e-9;

/**
 * The groups with the least round. What is chosen for a round of some time manages the batch in less, and for that time
 * something better may exist (Dinkelbach 1967); it ends where nothing manages the batch any sooner, after a handful of turns. With `atMostMs`, only what is
 * faster than that; else from `fromMs` on.
 */
export function fastestGroups(
  sites: readonly Site[],
  scenario: Scenario,
  batch: number,
  steps: number,
  { fromMs, atMostMs }: { readonly fromMs: number; readonly atMostMs?: number | undefined },
): Solution | undefined {
  const choose = (roundMs: number) => chooseAcross(sites, roundMs, scenario);
  let roundMs = atMostMs ?? fromMs;
  let groups = choose(roundMs);
  for (; total(groups) < batch; groups = choose((roundMs *= 4))) if (atMostMs !== undefined || roundMs > 1e15) return undefined;
  for (;;) {
    roundMs = leastRoundMs(
      groups.map((group) => group.cost),
      batch,
      steps,
      scenario.sharedMs,
    );
    const sooner = choose(roundMs * (1 - TOLERANCE));
    if (total(sooner) < batch) return { scenario, groups, roundMs };
    groups = sooner;
  }
}

function chooseAcross(sites: readonly Site[], roundMs: number, scenario: Scenario): readonly Chosen[] {
  if (scenario.alone) {
    return sites.map((site) => site.bestWithin(roundMs, scenario)).reduce((best, next) => (total(next) > total(best) ? next : best), []);
  }
  const groups = sites.flatMap((site) => site.bestWithin(roundMs, scenario)).filter((group) => group.samples > 0);
  if (uploadsOf(groups) <= scenario.maxUploads) return groups;
  const taken: Chosen[] = [];
  for (const group of [...groups].sort((a, b) => b.samples - a.samples))
    if (uploadsOf([...taken, group]) <= scenario.maxUploads) taken.push(group);
  return taken;
}

function uploadsOf(groups: readonly Chosen[]): number {
  return groups.reduce((sum, { cost }) => sum + Math.ceil(cost.uploads), 0);
}

function total(groups: readonly Chosen[]): number {
  return groups.reduce((sum, group) => sum + group.samples, 0);
}
