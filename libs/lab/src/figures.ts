import { standingEvents, type BenchLossPoint, type BenchNode, type BenchNodeOutcome, type BenchOutcome, type BenchSummary, type RunEvent, type StoredEvent } from '@longtail/core';
import { attendance } from './attendance.js';
import { lengthOf, type ComputeLog, type Stretch } from './compute-log.js';
import { costOf, energyOf, type Prices } from './prices.js';
import { spansOf } from './spans.js';
import { timeToLoss } from './time-to-loss.js';

export type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;
type Commit = Extract<RunEvent, { readonly event: 'commit' }> & { readonly timeMs: number };

export interface RunRecord {
  readonly events: readonly StoredEvent[];
  readonly computed: ComputeLog;
  /** In the order of the result. */
  readonly nodes: readonly BenchNode[];
  /** What a byte that travelled stands for. */
  readonly bytesScale: number;
  readonly loss: readonly BenchLossPoint[];
  readonly targetLoss: number | undefined;
  readonly prices: Prices;
}

/** Of a run, from its beginning to its last commit. */
interface Training {
  readonly startMs: number;
  readonly endMs: number;
  readonly commits: readonly Commit[];
  readonly contributions: readonly Contribution[];
  readonly here: ReadonlyMap<string, readonly Stretch[]>;
}

/** Windows of the heat map. */
const WINDOWS = 60;

/** What a run came to, but for what bounds it. */
export function figuresOf(record: RunRecord): Omit<BenchOutcome, 'bottleneck'> {
  const { nodes, computed, loss } = record;
  const training = trainingOf(record.events);
  const { startMs, endMs, contributions, here } = training;
  const outcomes = nodes.map(({ name }) =>
    nodeOutcome(
      contributions.filter((contribution) => contribution.name === name),
      lengthOf(here.get(name) ?? []),
      lengthOf(computed.within(name, startMs, endMs)),
      record.bytesScale,
    ),
  );
  const windowMs = (endMs - startMs) / WINDOWS;
  return {
    status: 'done',
    summary: summaryOf(record, training, outcomes),
    loss,
    nodes: outcomes,
    spans: spansOf(record, contributions, startMs, endMs),
    utilisation: { windowMs, rows: nodes.map(({ name }) => busyParts(computed, name, here.get(name) ?? [], startMs, windowMs)) },
  };
}

function trainingOf(events: readonly StoredEvent[]): Training {
  const standing = standingEvents(events);
  const startMs = standing.find(({ body }) => body.event === 'started')?.timeMs ?? 0;
  const commits = standing.flatMap(({ timeMs, body }) => (body.event === 'commit' ? [{ timeMs, ...body }] : []));
  const endMs = commits.at(-1)?.timeMs ?? startMs;
  const contributions = standing.flatMap(({ body }) => (body.event === 'contribution' ? [body] : []));
  return { startMs, endMs, commits, contributions, here: attendance(events, startMs, endMs) };
}

function nodeOutcome(contributions: readonly Contribution[], hereMs: number, computeMs: number, bytesScale: number): BenchNodeOutcome {
  const sum = (of: (contribution: Contribution) => number) => contributions.reduce((total, contribution) => total + of(contribution), 0);
  const moving = sum(({ exchange }) => (exchange === undefined ? 0 : exchange.receiveMs + exchange.sendMs - (exchange.hiddenMs ?? 0)));
  const sendMs = Math.min(Math.max(0, hereMs - computeMs), moving);
  return {
    hereMs,
    computeMs,
    sendMs,
    waitMs: Math.max(0, hereMs - computeMs - sendMs),
    bytesUp: bytesScale * sum(({ bytesUp }) => bytesUp),
    bytesDown: bytesScale * sum(({ bytesDown }) => bytesDown),
    samples: sum(({ samples, accepted, stage }) => (accepted && (stage?.stage ?? 0) === 0 ? samples : 0)),
  };
}

function summaryOf({ nodes, prices, loss, targetLoss, events }: RunRecord, { startMs, endMs, commits, contributions }: Training, outcomes: readonly BenchNodeOutcome[]): BenchSummary {
  const total = (of: (outcome: BenchNodeOutcome) => number) => outcomes.reduce((sum, outcome) => sum + of(outcome), 0);
  const wallMs = endMs - startMs;
  const samples = commits.reduce((sum, commit) => sum + commit.samples, 0);
  const accepted = contributions.filter((contribution) => contribution.accepted);
  const stages = contributions.filter(({ stage, elapsedMs }) => stage !== undefined && stage.stages > 1 && elapsedMs > 0);
  const sumOf = (of: (contribution: Contribution) => number, list: readonly Contribution[]) => list.reduce((sum, contribution) => sum + of(contribution), 0);
  const energyWattHours = energyOf(nodes, outcomes, prices);
  return {
    timeToTargetMs: targetLoss === undefined ? undefined : timeToLoss(loss, targetLoss),
    finalLoss: loss.findLast(({ kind }) => kind === 'validation')?.loss,
    wallMs,
    rounds: commits.length,
    samples,
    samplesPerSecond: wallMs > 0 ? (1000 * samples) / wallMs : 0,
    utilisation: total(({ computeMs }) => computeMs) / (total(({ hereMs }) => hereMs) || 1),
    bubble: stages.length === 0 ? undefined : 1 - sumOf(({ computeMs }) => computeMs, stages) / sumOf(({ elapsedMs }) => elapsedMs, stages),
    bytesUpPerNode: total(({ bytesUp }) => bytesUp) / nodes.length,
    bytesDownPerNode: total(({ bytesDown }) => bytesDown) / nodes.length,
    staleness: sumOf(({ staleness }) => staleness, accepted) / (accepted.length || 1),
    lostSamples: lostSamples(events),
    energyWattHours,
    costDollars: costOf(nodes, outcomes, energyWattHours, prices),
  };
}

/** Leases that went back had been begun, or were about to be. */
function lostSamples(events: readonly StoredEvent[]): number {
  return events.reduce((sum, { body }) => sum + (body.event === 'samples_lost' || body.event === 'lease_returned' ? body.samples : 0), 0);
}

function busyParts(computed: ComputeLog, name: string, here: readonly Stretch[], startMs: number, windowMs: number): readonly (number | null)[] {
  return Array.from({ length: WINDOWS }, (_, i) => {
    const [fromMs, toMs] = [startMs + i * windowMs, startMs + (i + 1) * windowMs];
    const hereMs = lengthOf(here.map((stretch) => ({ fromMs: Math.max(fromMs, stretch.fromMs), toMs: Math.max(fromMs, Math.min(toMs, stretch.toMs)) })).filter((stretch) => stretch.toMs > stretch.fromMs));
    return hereMs > 0 ? Math.min(1, lengthOf(computed.within(name, fromMs, toMs)) / hereMs) : null;
  });
}
