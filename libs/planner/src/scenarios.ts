import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import type { Scenario } from './rounds.js';

/** What the server's own link takes for the exchange of so many copies of the model. */
export function sharedMs({ cluster, request, costs }: CostModel, uploads: number): number {
  if (cluster.server === undefined) return 0;
  const { upBitsPerSecond, downBitsPerSecond } = cluster.server;
  const bits = request.upBitsPerValue / downBitsPerSecond + request.downBitsPerValue / upBitsPerSecond;
  return 1000 * uploads * costs.parameters(0, costs.blocks) * bits;
}

/** How the groups of a layout meet that is known. */
export function scenarioOf(model: CostModel, groups: readonly GroupDraft[]): Scenario {
  const alone = groups.length === 1 && groups[0]!.stages.every(({ devices, start, end }) => model.stepsForItself(devices, start, end));
  const uploads = groups.reduce((sum, group) => sum + model.uploads(group), 0);
  return { alone, maxUploads: Math.ceil(uploads), sharedMs: alone ? 0 : sharedMs(model, uploads) };
}
