import type { MakespanOf } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import { pipelineStep, timed } from './plan-for.js';

/** Stages a device: with more the fill hardly shrinks and there is more to send. */
const MOST_CHUNKS = 4;

/**
 * The pipeline with several stages on each device, in turn (interleaved 1F1B), where its step is then shorter; else as it is.
 * Each device keeps its part of the work, dealt into as many stages as it gets turns; then cuts move for as long as that pays.
 */
export function inTurns(model: CostModel, group: GroupDraft, samples: number, makespanOf: MakespanOf): GroupDraft {
  if (group.stages.length === 1 || group.stages.some(({ devices }) => devices.length > 1)) return group;
  const cuts = Array.from({ length: model.costs.blocks + 1 }, (_, at) => at).filter((at) => model.costs.canCut(at));
  const microbatches = Math.max(1, Math.ceil(samples / group.microbatch));
  const weigh = (layout: GroupDraft | undefined): Weighed | undefined => {
    if (layout === undefined) return undefined;
    const { passesMs, sumsMs } = pipelineStep(model, timed(model, layout), microbatches, makespanOf);
    return { layout, stepMs: passesMs + sumsMs };
  };
  let best = weigh(group)!;
  for (let chunks = 2; chunks <= MOST_CHUNKS && chunks * group.stages.length < cuts.length; chunks++) {
    const found = improved(dealt(model, group, cuts, chunks), (borders) => weigh(layoutOf(model, group, cuts, borders)));
    if (found !== undefined && found.stepMs < best.stepMs) best = found;
  }
  return best.layout;
}

interface Weighed {
  readonly layout: GroupDraft;
  readonly stepMs: number;
}

/** Where stages begin and the last one ends, as places among the cuts. */
type Borders = readonly number[];

/** Each device's part of the work, as the pipeline has it, in `chunks` equal stages: the borders are the cuts next to that. */
function dealt(model: CostModel, { stages, microbatch }: GroupDraft, cuts: readonly number[], chunks: number): Borders {
  const [reference] = model.cluster.devices;
  const workTo = (end: number) => {
    const { forwardMs, backwardMs } = model.costs.workMs(reference!, 0, end, microbatch, false);
    return forwardMs + backwardMs;
  };
  const shares = stages.map(({ start, end }) => (workTo(end) - workTo(start)) / chunks);
  const borders = [0];
  let wanted = 0;
  for (let stage = 1; stage < chunks * stages.length; stage++) {
    wanted += shares[(stage - 1) % stages.length]!;
    const last = cuts.length - 1 - (chunks * stages.length - stage);
    let at = borders.at(-1)! + 1;
    while (at < last && Math.abs(workTo(cuts[at + 1]!) - wanted) <= Math.abs(workTo(cuts[at]!) - wanted)) at++;
    borders.push(at);
  }
  return [...borders, cuts.length - 1];
}

/** The best that moving one border by one cut at a time leads to. */
function improved(borders: Borders, weigh: (borders: Borders) => Weighed | undefined): Weighed | undefined {
  let best = { borders, weighed: weigh(borders) };
  for (let changed = true; changed;) {
    changed = false;
    for (let i = 1; i < borders.length - 1; i++) {
      for (const step of [-1, 1]) {
        const moved = best.borders.map((at, k) => (k === i ? at + step : at));
        if (moved[i]! <= moved[i - 1]! || moved[i]! >= moved[i + 1]!) continue;
        const weighed = weigh(moved);
        if (weighed === undefined || weighed.stepMs >= (best.weighed?.stepMs ?? Infinity)) continue;
        best = { borders: moved, weighed };
        changed = true;
      }
    }
  }
  return best.weighed;
}

/** Undefined: some device has not the memory. */
function layoutOf(model: CostModel, { stages, microbatch }: GroupDraft, cuts: readonly number[], borders: Borders): GroupDraft | undefined {
  const turns = borders.slice(1).map((to, i): StageDraft => {
    const { devices } = stages[i % stages.length]!;
    return { start: cuts[borders[i]!]!, end: cuts[to]!, devices, recompute: false };
  });
  const recompute = turns.map((_, i) => model.memory.recomputeIn({ microbatch, stages: turns }, i));
  if (recompute.includes(undefined)) return undefined;
  return { microbatch, stages: turns.map((stage, i) => ({ ...stage, recompute: recompute[i]! })) };
}
