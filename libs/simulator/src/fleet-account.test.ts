import { expect, test } from 'vitest';
import type { FleetAccount } from './fleet-account.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario, unequalFleet } from './testing/scenarios.js';

const slow = { upBitsPerSecond: 2e5, downBitsPerSecond: 1e6, rttMs: 30 };
const fleet = unequalFleet.map((worker) => ({ ...worker, link: slow }));

async function accountOf(changes: Parameters<typeof scenario>[0]): Promise<{ readonly account: FleetAccount; readonly outcome: Awaited<ReturnType<typeof simulate>> }> {
  const outcome = await simulate(scenario({ fleet, account: true, ...changes }));
  return { account: outcome.account!, outcome };
}

test('computing, sending, receiving and waiting add up to the time that a node was here', async () => {
  const faults = [
    { kind: 'restart', worker: 'b', atMs: 900, forMs: 400 },
    { kind: 'cut', worker: 'c', atMs: 700 },
  ] as const;
  const { account, outcome } = await accountOf({ faults });
  expect([...outcome.fired]).toEqual(expect.arrayContaining([...faults]));
  for (const { name, hereMs, ms } of account.nodes) {
    expect(ms.compute + ms.send + ms.receive + ms.wait).toBeCloseTo(hereMs, 6);
    for (const activity of ['compute', 'send', 'receive', 'wait'] as const) expect(ms[activity], `${name}: ${activity}`).toBeGreaterThan(0);
  }
  const [a, b] = account.nodes;
  // Dialling takes a round trip.
  expect(a!.hereMs).toBeCloseTo(outcome.virtualMs - slow.rttMs, 6);
  expect(a!.hereMs - b!.hereMs).toBeGreaterThanOrEqual(400);
});

test('a node is not here while its owner lets it rest, but for what it finishes', async () => {
  const pause = { kind: 'pause', worker: 'b', atMs: 900, forMs: 2000 } as const;
  const { account, outcome } = await accountOf({ faults: [pause], job: job({ train: { epochs: 6 } }) });
  expect([...outcome.fired]).toContain(pause);
  const [a, b] = account.nodes;
  const restedMs = a!.hereMs - b!.hereMs;
  expect(restedMs).toBeGreaterThan(1000);
  expect(restedMs).toBeLessThan(pause.forMs);
  expect(b!.utilisation).toContain(undefined);
  expect(b!.ms.compute + b!.ms.send + b!.ms.receive + b!.ms.wait).toBeCloseTo(b!.hereMs, 6);
});

test('a process that is no more says nothing of the one after it on its machine: its owner lets that one rest', async () => {
  const faults = [
    { kind: 'pause', worker: 'b', atMs: 900, forMs: 1000 },
    { kind: 'restart', worker: 'b', atMs: 950, forMs: 100 },
    { kind: 'pause', worker: 'b', atMs: 1300, forMs: 3000 },
  ] as const;
  const { account, outcome } = await accountOf({ faults, job: job({ train: { epochs: 10 } }) });
  expect([...outcome.fired]).toEqual(expect.arrayContaining([...faults]));
  const [a, b] = account.nodes;
  expect(a!.hereMs - b!.hereMs).toBeGreaterThan(2500);
});

test('the account agrees with the log: computing, bytes and samples', async () => {
  const { account, outcome } = await accountOf({ job: job({ validation: { everyEpochs: 10 } }) });
  const contributions = eventsOf(outcome.events, 'contribution');
  const { up, down } = outcome.verdict.bytes;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  expect(sum(account.nodes.map(({ bytesUp }) => bytesUp))).toBe(up);
  expect(sum(account.nodes.map(({ bytesDown }) => bytesDown))).toBe(down);
  for (const { name, ms, samples } of account.nodes) {
    const own = contributions.filter((contribution) => contribution.name === name && contribution.accepted);
    expect(samples).toBe(sum(own.map((contribution) => contribution.samples)));
    expect(ms.compute).toBeGreaterThanOrEqual(sum(own.map(({ computeMs }) => computeMs)) - 1e-6);
  }
});

test.each([1, 2, 3, 4, 5, 6])('of %i epochs, spans are those of rounds in the middle of the run', async (epochs) => {
  const { account, outcome } = await accountOf({ job: job({ train: { epochs }, validation: { everyEpochs: 10 } }) });
  const [first, last] = [eventsOf(outcome.events, 'contribution')[0]!, eventsOf(outcome.events, 'contribution').at(-1)!];
  const part = (account.spansFromMs - first.sentAtMs) / (last.doneAtMs - first.sentAtMs);
  expect(part).toBeGreaterThan(0.2);
  expect(part).toBeLessThan(0.75);
});

test('spans of a few rounds lie one behind the other without a gap, and windows say how busy a device was', async () => {
  const { account, outcome } = await accountOf({});
  const { spansFromMs, spansToMs, windowMs, nodes } = account;
  expect(spansFromMs).toBeGreaterThan(outcome.virtualMs / 4);
  expect(spansToMs).toBeLessThanOrEqual(outcome.virtualMs);
  for (const { spans, utilisation, ms, hereMs } of nodes) {
    expect(spans[0]!.fromMs).toBeCloseTo(spansFromMs, 6);
    expect(spans.at(-1)!.toMs).toBeCloseTo(spansToMs, 6);
    for (const [i, { fromMs }] of spans.slice(1).entries()) expect(fromMs).toBe(spans[i]!.toMs);
    expect(utilisation.length).toBe(Math.ceil(outcome.virtualMs / windowMs));
    for (const fraction of utilisation) expect(fraction === undefined || (fraction >= 0 && fraction <= 1 + 1e-9)).toBe(true);
    const mean = utilisation.reduce<number>((total, fraction) => total + (fraction ?? 0), 0) / utilisation.length;
    expect(mean).toBeCloseTo(ms.compute / hereMs, 1);
  }
});
