import type { BenchLossPoint, BenchNode, BenchNodeOutcome, BenchOutcome, BenchSummary } from '@longtail/core';
import type { FleetAccount, NodeAccount } from '@longtail/simulator';
import { costOf, energyOf, type Prices } from './prices.js';
import type { Tally } from './tally.js';
import { timeToLoss } from './time-to-loss.js';

/** Spans are shown of so many nodes. */
const SHOWN_NODES = 64;

export interface RunRecord {
  readonly tally: Tally;
  readonly account: FleetAccount;
  /** In the order of the result. */
  readonly nodes: readonly BenchNode[];
  readonly loss: readonly BenchLossPoint[];
  readonly targetLoss: number | undefined;
  readonly prices: Prices;
}

const NEVER_HERE: BenchNodeOutcome = { hereMs: 0, computeMs: 0, sendMs: 0, waitMs: 0, bytesUp: 0, bytesDown: 0, samples: 0 };

/** What a run came to, but for what bounds it. */
export function figuresOf(record: RunRecord): Omit<BenchOutcome, 'bottleneck'> {
  const { nodes, account, loss, tally } = record;
  const byName = new Map(account.nodes.map((node) => [node.name, node]));
  const outcomes = nodes.map(({ name }) => outcomeOf(byName.get(name)));
  const windows = Math.max(0, ...account.nodes.map(({ utilisation }) => utilisation.length));
  return {
    status: 'done',
    summary: summaryOf(record, outcomes),
    loss,
    nodes: outcomes,
    spans: nodes.slice(0, SHOWN_NODES).flatMap(({ name }, node) =>
      (byName.get(name)?.spans ?? []).map(({ activity, fromMs, toMs }) => ({ node, kind: activity, fromMs: fromMs - tally.startMs, toMs: toMs - tally.startMs })),
    ),
    utilisation: {
      windowMs: account.windowMs,
      rows: nodes.map(({ name }) => Array.from({ length: windows }, (_, window) => byName.get(name)?.utilisation[window] ?? null)),
    },
  };
}

function outcomeOf(account: NodeAccount | undefined): BenchNodeOutcome {
  if (account === undefined) return NEVER_HERE;
  const { hereMs, ms, bytesUp, bytesDown, samples } = account;
  return { hereMs, computeMs: ms.compute, sendMs: ms.send + ms.receive, waitMs: ms.wait, bytesUp, bytesDown, samples };
}

function summaryOf({ nodes, prices, loss, targetLoss, tally }: RunRecord, outcomes: readonly BenchNodeOutcome[]): BenchSummary {
  const total = (of: (outcome: BenchNodeOutcome) => number) => outcomes.reduce((sum, outcome) => sum + of(outcome), 0);
  const { startMs, endMs, rounds, samples, bubble, meanStaleness, lostSamples } = tally;
  const wallMs = endMs - startMs;
  const energyWattHours = energyOf(nodes, outcomes, prices);
  return {
    timeToTargetMs: targetLoss === undefined ? undefined : timeToLoss(loss, targetLoss),
    finalLoss: loss.findLast(({ kind }) => kind === 'validation')?.loss,
    wallMs,
    rounds,
    samples,
    samplesPerSecond: wallMs > 0 ? (1000 * samples) / wallMs : 0,
    utilisation: total(({ computeMs }) => computeMs) / (total(({ hereMs }) => hereMs) || 1),
    bubble,
    bytesUpPerNode: total(({ bytesUp }) => bytesUp) / nodes.length,
    bytesDownPerNode: total(({ bytesDown }) => bytesDown) / nodes.length,
    staleness: meanStaleness,
    lostSamples,
    energyWattHours,
    costDollars: costOf(nodes, outcomes, energyWattHours, prices),
  };
}
