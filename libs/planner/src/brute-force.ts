import type { CostModel } from './cost-model.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import type { GroupCost } from './rounds.js';
import { samplesWithin } from './rounds.js';
import { sharedMs } from './scenarios.js';

/** No round is longer. */
const MOST_MS = 1e15;

interface Enumerated {
  readonly layout: GroupDraft;
  readonly cost: GroupCost;
}

/**
 * The oracle: every partition of the devices into groups, every order of stages in every group, every cut, every microbatch
 * size, and bisection for the least round. No dynamic programming, no dominance, no collapsing. Milliseconds for 5 devices,
 * seconds for 8. `whole`: each group does whole samples.
 */
export function bruteForceRoundMs(model: CostModel, whole = false): number {
  const devices = model.cluster.devices.map((_, i) => i);
  const alone = model.request.alwaysExchanges === true ? [] : [...subsets(devices)].flatMap((subset) => enumerate(model, subset, true));
  const bySubset = new Map<string, readonly GroupCost[]>();
  for (const subset of subsets(devices))
    bySubset.set(
      subset.join(),
      enumerate(model, subset, false).map(({ cost }) => cost),
    );
  let best = leastOf(model, [alone.map(({ cost }) => ({ ...cost, uploads: 1 }))], 1, 0, whole);
  for (const groups of partitions(devices)) {
    const costs = groups.map((group) => bySubset.get(group.join())!);
    if (costs.some((list) => list.length === 0)) continue;
    for (let uploads = groups.length; uploads <= devices.length; uploads++)
      best = Math.min(best, leastOf(model, costs, uploads, sharedMs(model, uploads), whole, Math.min(best, MOST_MS)));
  }
  return best;
}

/** One group from each list, or none, whichever manage most in the time at hand with so many uploads between them. */
function leastOf(
  model: CostModel,
  groups: readonly (readonly GroupCost[])[],
  uploads: number,
  shared: number,
  whole: boolean,
  below = MOST_MS,
): number {
  const { batch, stepsPerRound } = model.request;
  const enough = (roundMs: number) => {
    let most = new Array<number>(uploads + 1).fill(0);
    for (const costs of groups) {
      const gains = new Array<number>(uploads + 1).fill(0);
      for (const cost of costs) {
        const samples = samplesWithin(cost, roundMs, stepsPerRound, shared);
        const taken = Math.ceil(cost.uploads);
        gains[taken] = Math.max(gains[taken] ?? 0, whole ? Math.floor(samples + 1e-9) : samples);
      }
      most = most.map((_, left) => Math.max(...gains.slice(0, left + 1).map((gain, taken) => gain + most[left - taken]!)));
    }
    return most[uploads]! >= batch;
  };
  let [low, high] = [0, below];
  if (!enough(high)) return Infinity;
  for (let i = 0; i < 110 && high - low > 1e-12 * high; i++) {
    const middle = low < high / 4 ? Math.max(low, 1e-6) * 2 : (low + high) / 2;
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}

function enumerate(model: CostModel, devices: readonly number[], alone: boolean): readonly Enumerated[] {
  const found: Enumerated[] = [];
  for (const microbatch of model.request.microbatches) {
    for (const stages of pipelines(model, devices, 0, microbatch)) {
      const layout = { microbatch, stages };
      found.push({ layout, cost: model.group(layout, alone) });
    }
  }
  return found;
}

/** All ways to put blocks from `start` on these devices, all of them used. */
function* pipelines(model: CostModel, devices: readonly number[], start: number, microbatch: number): Generator<StageDraft[]> {
  const { blocks } = model.costs;
  if (start === blocks) {
    if (devices.length === 0) yield [];
    return;
  }
  for (const crew of subsets(devices)) {
    if (!model.mayShareStage(crew)) continue;
    const others = devices.filter((device) => !crew.includes(device));
    for (let end = start + 1; end <= blocks; end++) {
      if (!model.costs.canCut(end) || (others.length === 0 && end < blocks)) continue;
      for (const rest of pipelines(model, others, end, microbatch)) {
        const needs = crew.map((device) => model.memory.recomputeFor(device, start, end, microbatch, rest.length + 1));
        if (!needs.includes(undefined)) yield [{ start, end, devices: crew, recompute: needs.includes(true) }, ...rest];
      }
    }
  }
}

function* subsets(devices: readonly number[]): Generator<number[]> {
  for (let mask = 1; mask < 2 ** devices.length; mask++) yield devices.filter((_, i) => (mask >> i) & 1);
}

/** All ways to put some of the devices into groups. */
function* partitions(devices: readonly number[]): Generator<number[][]> {
  const [first, ...rest] = devices;
  if (first === undefined) {
    yield [];
    return;
  }
  for (const groups of partitions(rest)) {
    yield groups;
    yield [[first], ...groups];
    for (let i = 0; i < groups.length; i++) yield groups.map((group, j) => (i === j ? [first, ...group] : group));
  }
}
