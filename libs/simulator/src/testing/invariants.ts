import { fragmentsOf, localStepsOf, standingEvents, type Job, type Lease, type RunEvent } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { expect } from 'vitest';
import type { Fault } from '../faults.js';
import type { Outcome, Scenario } from '../scenario.js';
import type { ChaosPlan } from './chaos-plan.js';
import { batchesOf, relativeDistance, trainAlone } from './pipelined.js';
import { eventsOf } from './scenarios.js';

/** What always holds (DESIGN.md section 5), of a run that is over. Lines 2 and 4 have their own witnesses: `SentContributions`, `Punctuality`. */
export function expectInvariants(plan: ChaosPlan, scenario: Scenario, outcome: Outcome): void {
  expectReasons(outcome);
  expectReceipts(plan, outcome);
  expectSameBits(plan, outcome);
  expectBounded(outcome);
  expect(outcome.store.verdict).toEqual(outcome.verdict);
  // A log that has no room says nothing more: its run ends with the event that was too much.
  if (outcome.store.full.has('log')) return;
  expectOneEnd(outcome);
  expectLogAddsUp(outcome);
  expectEachSampleOnce(scenario, outcome);
  if (outcome.parameters.length === 0) return;
  if (plan.model === 'counts') expect(miscounted(scenario, outcome)).toEqual([]);
  else if (isExact(plan.job)) expectUnpipelined(scenario, outcome);
}

/** One verdict, the last event; every worker came to an orderly end. */
function expectOneEnd({ events, verdict, store, workerEnds }: Outcome): void {
  expect(eventsOf(events, 'verdict')).toEqual([verdict]);
  expect(events.at(-1)!.body).toBe(verdict);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  expect(verdict.error?.code).not.toBe('internal');
  expect([...workerEnds.values()].filter((end) => !['left', 'refused', 'unreachable'].includes(end))).toEqual([]);
  if (verdict.model === 'memory:model') expect(store.model!.version).toBe(eventsOf(standingEvents(events), 'commit').at(-1)!.version);
}

/** Lines 1 and 7: the event log adds up, to what stands of it where a server was killed. */
function expectLogAddsUp({ events, leases, verdict }: Outcome): void {
  const { applied, lost, leased, free, total } = leases;
  expect([applied + lost + free, leased]).toEqual([total, 0]);
  const standing = standingEvents(events);
  const committed = sum(eventsOf(standing, 'commit'));
  const accepted = sum(eventsOf(standing, 'contribution').filter((one) => one.accepted && (one.stage?.stage ?? 0) === 0));
  expect([committed, accepted]).toEqual([applied + lost, applied + lost]);
  expect([sum(eventsOf(standing, 'samples_lost')), verdict.samples]).toEqual([lost, { applied, lost }]);
  if (verdict.status === 'succeeded') expect(applied + lost).toBe(total);
}

/** Line 1: every sample of an epoch is applied once. */
function expectEachSampleOnce({ model }: Scenario, { ledger, leases }: Outcome): void {
  const ranges = ledger.flatMap((commit) => commit.leases.flatMap((lease) => lease.ranges));
  const seen = new Set(ranges.flatMap(({ epoch, start, end }) => Array.from({ length: end - start }, (_, i) => epoch * model.trainSamples + start + i)));
  const samples = ranges.reduce((total, { start, end }) => total + end - start, 0);
  expect([seen.size, samples]).toEqual([leases.applied, leases.applied]);
}

/** Lines 1 and 3: parameters that were not moved as often as their sample was applied, or more often than that and lost. */
function miscounted({ model, job, faults = [] }: Scenario, { parameters, ledger, lost, leases }: Outcome): readonly string[] {
  const { trainSamples } = model;
  // What moves the parameters up is a move down, base − new.
  const sign = localStepsOf(job.sync) === undefined ? 1 : -1;
  const countsOf = (list: readonly Lease[]) => {
    const counts = new Array<number>(trainSamples).fill(0);
    for (const range of list.flatMap(({ ranges }) => ranges)) {
      for (const sample of epochOrder(trainSamples, job.train.seed, range.epoch).indices(range)) counts[sample]!++;
    }
    return counts;
  };
  // Which samples of a stream a server takes along that is killed, nobody says: any may be among them.
  const unknown = disturbsServer(faults) && leases.lost > 0 ? job.train.epochs : 0;
  const [least, more] = [countsOf(ledger.flatMap((commit) => commit.leases)), countsOf(lost).map((count) => count + unknown)];
  return [...parameters].flatMap((value, i) => {
    const sample = i % trainSamples;
    const [count, from, to] = [sign * value, least[sample]!, least[sample]! + more[sample]!];
    return count >= from && count <= to ? [] : [`sample ${sample}, copy ${(i - sample) / trainSamples}: ${count} times instead of ${from} to ${to}`];
  });
}

/** The server's steps are those of one machine: nothing is rounded on the way, each commit is a step of its samples' mean. */
function isExact({ sync, train }: Job): boolean {
  return sync.strategy === 'bsp' && sync.codec === 'fp32' && train.clipNorm === undefined && train.optimizer.type === 'sgd';
}

/** Line 5: K unequal workers, pipelined or not, give what one big one gives. */
function expectUnpipelined({ job, model }: Scenario, outcome: Outcome): void {
  expect(relativeDistance(outcome.parameters, trainAlone(job, batchesOf(outcome), model).parameters)).toBeLessThan(1e-5);
}

function expectReasons({ events }: Outcome): void {
  const said = events.flatMap(({ body }) => (mustSayWhy(body) ? [body] : []));
  expect(said.filter(({ reason }) => reason === '')).toEqual([]);
}

type WithReason = Extract<RunEvent, { readonly reason: string }>;

function mustSayWhy(event: RunEvent): event is WithReason {
  if (event.event === 'contribution') return !event.accepted;
  return ['lease_returned', 'samples_lost', 'node_left', 'commit', 'resumed', 'verdict'].includes(event.event);
}

/** What keeps a receipt from a worker. */
const CUTS_OFF: readonly Fault['kind'][] = ['cut', 'stall', 'partition', 'freeze', 'kill', 'restart', 'leave', 'pause', 'finish', 'drain', 'tamper-down', 'clock-jump'];
/** Receipts of the last moment may be on their way still. */
const LAST_MS = 500;

/** Line 3: whoever's contribution was refused got a receipt that says why. */
function expectReceipts({ faults }: ChaosPlan, { events, workerEvents }: Outcome): void {
  if (disturbsServer(faults)) return;
  const untilMs = events.at(-1)!.timeMs - LAST_MS;
  for (const [name, seen] of workerEvents) {
    const cutOff = faults.some((fault) => 'worker' in fault && fault.worker === name && CUTS_OFF.includes(fault.kind));
    if (cutOff || seen.some(({ event }) => event === 'disconnected')) continue;
    const receipts = seen.flatMap((event) => (event.event === 'receipt' && !event.accepted ? [event.reason] : []));
    const refused = events.flatMap(({ timeMs, body }) => (timeMs < untilMs && body.event === 'contribution' && !body.accepted && body.name === name ? [body.reason] : []));
    expect(refused.filter((reason) => !receipts.includes(reason))).toEqual([]);
  }
}

/** Whoever evaluates the same version holds the same bits, where none are lost on the way. */
function expectSameBits({ job, faults }: ChaosPlan, { workerEvents }: Outcome): void {
  const mixes = (fragmentsOf(job.sync) ?? 1) > 1;
  if (job.sync.codec !== 'fp32' || job.sync.strategy === 'auto' || job.cluster.layout !== undefined || mixes || disturbsServer(faults)) return;
  const held = new Map<number, number>();
  for (const event of [...workerEvents.values()].flat()) {
    if (event.event !== 'done' || event.held === undefined) continue;
    const { version, crc } = event.held;
    expect([version, held.get(version) ?? crc]).toEqual([version, crc]);
    held.set(version, crc);
  }
}

/** Line 6: a device refuses what its stash has no room for, and is given no two calls at once; one checkpoint is written at a time. */
function expectBounded({ store, workerEvents }: Outcome): void {
  expect(store.peakWriting).toBeLessThanOrEqual(1);
  const failures = [...workerEvents.values()].flat().flatMap((event) => (event.event === 'failed' ? [event.error] : []));
  expect(failures.filter(({ code }) => code === 'internal' || code === 'refused')).toEqual([]);
}

/** Its times, or the numbers of its versions, are not those of one server from beginning to end. */
export function disturbsServer(faults: readonly Fault[]): boolean {
  return faults.some(({ kind }) => kind === 'server-clock-jump' || kind === 'kill-server');
}

function sum(events: readonly { readonly samples: number }[]): number {
  return events.reduce((total, { samples }) => total + samples, 0);
}
