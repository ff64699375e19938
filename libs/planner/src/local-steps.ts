import type { OwnSteps } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import { ownExchangeMs } from './own-exchange.js';
import type { GroupCost, Scenario } from './rounds.js';
import { roundMsOf } from './rounds.js';

/** What a group does in a round. */
export interface GroupRound {
  readonly group: GroupDraft;
  /** Of an inner step. */
  readonly samples: number;
  readonly stepMs: number;
  readonly steps: number;
  readonly exchangeMs: number;
}

/** A group that steps for itself: how long it takes over a step on a batch of its own, and over an exchange. */
export type GroupSteps = Omit<GroupRound, 'steps'>;

/** `cost`: of the group, with what the schedule makes of a batch. */
export function groupSteps(model: CostModel, group: GroupDraft, cost: GroupCost, { sharedMs }: Scenario): GroupSteps {
  const { batch } = model.request.local!;
  return { group, samples: batch, stepMs: roundMsOf({ ...cost, tailMs: 0 }, batch, 1, 0), exchangeMs: Math.max(ownExchangeMs(model, group), sharedMs) };
}

/** A round as the rule has it: what each does, and how long it takes. */
export function localRound(groups: readonly GroupSteps[], { rule, overlaps, inAll }: OwnSteps): { readonly rounds: readonly GroupRound[]; readonly roundMs: number } {
  const { steps } = rule(groups.map(({ stepMs, exchangeMs }, i) => ({ node: String(i), stepMs, exchangeMs })), inAll);
  const rounds = groups.map((group, i) => ({ ...group, steps: steps.get(String(i))! }));
  const lastsMs = ({ exchangeMs, stepMs, steps: count }: GroupRound) => (overlaps ? Math.max(exchangeMs, count * stepMs) : exchangeMs + count * stepMs);
  return { rounds, roundMs: Math.max(...rounds.map(lastsMs)) };
}

/** Without those who hold all others up, be it by a single step, for more than theirs are worth. */
export function inTime(groups: readonly GroupSteps[], local: OwnSteps): readonly GroupSteps[] {
  const rateOf = (some: readonly GroupSteps[]) => {
    const { rounds, roundMs } = localRound(some, local);
    return rounds.reduce((sum, { steps }) => sum + steps, 0) / roundMs;
  };
  const slowness = ({ exchangeMs, stepMs }: GroupSteps) => (local.overlaps ? exchangeMs : exchangeMs + stepMs);
  let kept = [...groups].sort((a, b) => slowness(a) - slowness(b));
  for (let rate = rateOf(kept); kept.length > 1; kept = kept.slice(0, -1)) {
    const without = rateOf(kept.slice(0, -1));
    if (without <= rate) break;
    rate = without;
  }
  return groups.filter((group) => kept.includes(group));
}
