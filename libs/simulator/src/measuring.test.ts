import type { LayoutPlan, LayoutRequest } from '@longtail/core';
import { expect, test } from 'vitest';
import { chain } from './chain.js';
import type { Fault } from './faults.js';
import type { Scenario, SimulatedWorker } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const model = chain({ features: 6, width: 5, blocks: 4, trainSamples: 240, validationSamples: 40, seed: 11 });

const fleet: readonly SimulatedWorker[] = [
  { name: 'a', samplesPerSecond: 1000, peers: 'listens', link: { upBitsPerSecond: 20e6, downBitsPerSecond: 120e6, rttMs: 30 } },
  { name: 'b', samplesPerSecond: 500, peers: 'dials', link: { upBitsPerSecond: 200e6, downBitsPerSecond: 400e6, rttMs: 2 } },
  { name: 'c', samplesPerSecond: 250, link: { upBitsPerSecond: 1e6, downBitsPerSecond: 5e6, rttMs: 80 } },
];

/** A pipeline of the first two, once all three were measured; keeps what it was asked. */
function measuredLayout(asked: LayoutRequest[]): LayoutPlan {
  return (request) => {
    asked.push(request);
    const { nodes, current } = request;
    const missing = nodes.filter(({ blocks }) => blocks === undefined).map(({ node }) => node);
    if (current.length === 0 && (missing.length > 0 || nodes.length < 2)) {
      const wants = { nodes: missing, microbatches: [1, 8] };
      return { groups: [], lacks: 'figures', reason: 'measuring', ...(nodes.length < 3 ? {} : { wants }) };
    }
    const stages = nodes.slice(0, 2).map(({ node }, i) => ({ nodes: [node], blocks: { start: 2 * i, end: 2 * i + 2 } }));
    const groups = current.length > 0 ? current : [{ stages, microbatch: 8, schedule: 'capped-1f1b' as const }];
    return { groups, lacks: undefined, reason: 'measured', ...(missing.length > 0 && { wants: { nodes: missing, microbatches: [1, 8] } }) };
  };
}

function measured(faults: readonly Fault[] = []): { run: Scenario; asked: LayoutRequest[] } {
  const asked: LayoutRequest[] = [];
  const cluster = { minWorkers: 3, waitMs: 1000 };
  return { asked, run: scenario({ job: job({ cluster }), model, fleet, layout: measuredLayout(asked), faults, probeBytes: 2 ** 20 }) };
}

const near = (value: number, expected: number, part = 0.05) => expect(Math.abs(value / expected - 1), `${value} for ${expected}`).toBeLessThan(part);

test('a node’s link is measured as it joins, each way, to within a few percent', async () => {
  const { events, verdict } = await simulate(scenario({ fleet, job: job({ train: { epochs: 20 } }), probeBytes: 2 ** 20 }));
  const links = eventsOf(events, 'link');
  expect(links).toHaveLength(fleet.length);
  for (const { name, link } of fleet) {
    const measured = links.find((event) => event.name === name)!;
    near(measured.upBitsPerSecond, link!.upBitsPerSecond);
    near(measured.downBitsPerSecond, link!.downBitsPerSecond);
    near(measured.roundTripMs, link!.rttMs);
  }
  expect(eventsOf(events, 'profiled'), 'nobody asked for it').toEqual([]);
  expect(verdict.status).toBe('succeeded');
});

test('training finds what a link carries where nothing was measured at the join', async () => {
  const slow = ['a', 'b'].map((name) => ({ name, samplesPerSecond: 500, link: { upBitsPerSecond: 1e4, downBitsPerSecond: 2e4, rttMs: 30 } }));
  const { events, verdict } = await simulate(scenario({ fleet: slow, job: job({ cluster: { minWorkers: 2 }, train: { epochs: 20 } }), probeBytes: 0, heartbeatMs: 200 }));
  expect(verdict.status).toBe('succeeded');
  const links = eventsOf(events, 'link');
  for (const { name } of slow) {
    const found = links.filter((event) => event.name === name).at(-1);
    near(found!.upBitsPerSecond, 1e4);
    near(found!.downBitsPerSecond, 2e4);
    expect(found!.roundTripMs).toBe(30);
  }
});

test('a layout that asks for figures gets blocks, links and peers, and the run begins with them', async () => {
  const { run, asked } = measured();
  const { events, verdict, workerEvents } = await simulate(run);
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: 480, lost: 0 } });
  const { nodes, peers } = asked.find(({ nodes }) => nodes.some(({ blocks }) => blocks !== undefined))!;
  for (const { name, blocks, link } of nodes) {
    const worker = fleet.find((candidate) => candidate.name === name)!;
    near(link!.upBitsPerSecond, worker.link!.upBitsPerSecond);
    expect(blocks!.map(({ block, microbatch }) => `${block} ${microbatch}`).slice(0, 3)).toEqual(['block0 1', 'block0 8', 'block1 1']);
    const eight = blocks!.filter(({ microbatch }) => microbatch === 8);
    const ms = eight.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0);
    near(ms, 8000 / worker.samplesPerSecond + 2 * model.blocks!.count); // a millisecond of overhead a pass
  }
  expect(peers).toHaveLength(1); // a listens, b dials, c has none
  near(peers[0]!.bitsPerSecond, 20e6);
  near(peers[0]!.roundTripMs, 16);
  expect(eventsOf(events, 'profiled').map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
  expect(eventsOf(events, 'peer_links')[0]!.links).toEqual(peers);
  expect(workerEvents.get('c')!.map(({ event }) => event)).toContain('profiling');
  const order = events.map(({ body }) => body.event);
  expect(order.lastIndexOf('profiled')).toBeLessThan(order.indexOf('layout'));
});

test('training finds that a direct link is not what was measured, and the layout is told', async () => {
  const { run, asked } = measured();
  let opened = 0;
  const peerLink = () => (opened++ === 0 ? { bitsPerSecond: 50e6, rttMs: 4 } : { bitsPerSecond: 1e5, rttMs: 4 });
  const { events, verdict } = await simulate({ ...run, peerLink, heartbeatMs: 200 });
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded' });
  const [probed, found] = eventsOf(events, 'peer_links').map(({ links }) => links[0]!);
  near(probed!.bitsPerSecond, 50e6);
  expect(found).toMatchObject({ ...probed, bitsPerSecond: 1e5 });
  expect(asked.at(-1)!.peers).toEqual([found]);
});

test('the links of who joins later are measured to those who train, who have let go of their own figures', async () => {
  const { run, asked } = measured();
  const late: SimulatedWorker = { name: 'd', samplesPerSecond: 700, joinAtMs: 20_000, peers: 'dials', link: { upBitsPerSecond: 50e6, downBitsPerSecond: 50e6, rttMs: 10 } };
  const { events, verdict } = await simulate({ ...run, fleet: [...fleet, late], job: { ...run.job, train: { ...run.job.train, epochs: 80 } } });
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded' });
  const [first, second] = eventsOf(events, 'peer_links');
  const links = asked.at(-1)!.peers;
  expect(links.map(({ between }) => between)).toEqual([...first!.links, ...second!.links].map(({ between }) => between));
  expect(second!.links, 'a listens, d dials').toHaveLength(1);
  near(second!.links[0]!.bitsPerSecond, 20e6, 0.5); // beside what a sends meanwhile
  expect(second!.ms, 'nobody waits for an answer that does not come').toBeLessThan(3000);
});

test('a device that fails while it is measured is planned with all the same, and the log says so', async () => {
  const fault: Fault = { kind: 'fail', worker: 'b', atMs: 50 };
  const { run, asked } = measured([fault]);
  const { events, verdict, fired } = await simulate(run);
  expect(fired).toContain(fault);
  expect(verdict.status, verdict.reason).toBe('succeeded');
  const last = asked.find(({ nodes }) => nodes.every(({ blocks }) => blocks !== undefined))!;
  expect(new Map(last.nodes.map(({ name, blocks }) => [name, blocks!.length]))).toEqual(new Map([['a', 8], ['b', 0], ['c', 8]]));
  expect(eventsOf(events, 'warning')[0]!.message).toBe("b could not measure the model's blocks: the device gave up");
});

test.each(['kill', 'leave', 'cut', 'stall'] as const)('who is lost while it is measured (%s) holds nobody up', async (kind) => {
  const at = { worker: 'c', atMs: 150 };
  const fault: Fault = kind === 'stall' ? { ...at, kind, forMs: 300_000 } : { ...at, kind };
  const { run } = measured([fault]);
  const late = { name: 'd', samplesPerSecond: 700, joinAtMs: 20_000 };
  const { events, verdict, fired, virtualMs } = await simulate({ ...run, fleet: [...fleet, late], job: { ...run.job, cluster: { ...run.job.cluster, waitMs: 60_000 } } });
  expect(fired).toContain(fault);
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: 480, lost: 0 } });
  expect(eventsOf(events, 'profiled').map(({ name }) => name)).toContain('a');
  expect(virtualMs).toBeLessThan(120_000);
});
