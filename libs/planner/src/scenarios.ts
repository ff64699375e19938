import type { CostModel, GroupLayout } from './layout.js';
import type { Scenario } from './rounds.js';

/** What the server's own link takes for the exchanges of so many groups. */
export function sharedMs({ cluster, request, costs }: CostModel, groups: number): number {
  if (cluster.server === undefined) return 0;
  const { upBitsPerSecond, downBitsPerSecond } = cluster.server;
  const bits = request.upBitsPerValue / downBitsPerSecond + request.downBitsPerValue / upBitsPerSecond;
  return 1000 * groups * costs.parameters(0, costs.blocks) * bits;
}

/** How the groups of a layout that stands meet. */
export function scenarioOf(model: CostModel, groups: readonly GroupLayout[]): Scenario {
  const alone = groups.length === 1 && groups[0]!.stages.every(({ devices, start, end }) => model.stepsForItself(devices, start, end));
  return { alone, maxGroups: groups.length, sharedMs: alone ? 0 : sharedMs(model, groups.length) };
}
