import type { CostModel, GroupDraft, StageDraft } from './layout.js';
import { SUM_BITS } from './layout.js';

/** Parameters that two stages of a group read, and what it takes a device of one to send its gradient of them to one of the other. */
interface Tie {
  readonly names: readonly string[];
  readonly values: number;
  readonly ms: number;
}

/** Of all pairs of a group's stages, on the slowest link between them. Where devices step for themselves, at each inner step (ADR 26). */
export function dearestTie(model: CostModel, { stages }: GroupDraft): Tie {
  let dearest: Tie = { names: [], values: 0, ms: 0 };
  for (const [i, stage] of stages.entries()) {
    const tied = tiedIn(model, stage);
    for (const other of tied.size === 0 ? [] : stages.slice(i + 1)) {
      // One device that holds both has one copy.
      if (other.devices[0] === stage.devices[0]) continue;
      const names = [...tiedIn(model, other).keys()].filter((name) => tied.has(name));
      const values = names.reduce((sum, name) => sum + tied.get(name)!, 0);
      const ms = values === 0 ? 0 : sendMs(model, stage, other, values);
      if (ms > dearest.ms) dearest = { names, values, ms };
    }
  }
  return dearest;
}

/** Both stages send at the same time. */
function sendMs(model: CostModel, { devices }: StageDraft, other: StageDraft, values: number): number {
  const { forwardBitsPerSecond, backwardBitsPerSecond, forwardDelayMs, backwardDelayMs } = model.hopWay(devices, other.devices);
  // A hop's rate is that of as many links side by side.
  const bits = SUM_BITS * values * Math.min(devices.length, other.devices.length);
  return Math.max(forwardDelayMs + (1000 * bits) / forwardBitsPerSecond, backwardDelayMs + (1000 * bits) / backwardBitsPerSecond);
}

function tiedIn({ costs }: CostModel, { start, end }: StageDraft): ReadonlyMap<string, number> {
  const blocks = costs.profile.blocks.slice(start, end);
  return new Map(blocks.flatMap(({ tied }) => tied.map(({ name, parameters }) => [name, parameters] as const)));
}
