import type { BenchNode, BenchNodeOutcome } from '@longtail/core';
import type { BenchScenario } from '@longtail/spec';

export type Prices = BenchScenario['prices'];

const HOUR_MS = 3_600_000;

/** Watt-hours: of each node while it was here, at all its watts or at those of a machine that waits. */
export function energyOf(nodes: readonly BenchNode[], outcomes: readonly BenchNodeOutcome[], { idle }: Prices): number {
  return nodes.reduce((sum, { watts }, i) => {
    const { computeMs, hereMs } = outcomes[i]!;
    return sum + (watts * (computeMs + idle * (hereMs - computeMs))) / HOUR_MS;
  }, 0);
}

/** Dollars: the energy, and the part of each machine's price that the time here is of its lifetime. */
export function costOf(nodes: readonly BenchNode[], outcomes: readonly BenchNodeOutcome[], energyWattHours: number, { electricity, lifetime }: Prices): number {
  return nodes.reduce((sum, { dollars = 0 }, i) => sum + (dollars * outcomes[i]!.hereMs) / lifetime, (energyWattHours / 1000) * electricity);
}
