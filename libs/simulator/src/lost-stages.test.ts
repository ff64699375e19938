import type { LayoutPlan } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { base, batchesOf, expectSameTraining, fleet, model, pipelined, relativeDistance, three, trainAlone } from './testing/pipelined.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const lost: readonly Extract<Fault, { worker: string; atMs: number }>[] = [
  { kind: 'kill', worker: 'b', atMs: 300 },
  { kind: 'leave', worker: 'a', atMs: 300 },
  { kind: 'kill', worker: 'c', atMs: 300 },
];

test.each(lost)('a stage that is lost ($kind $worker) is replaced by a spare; nothing is lost or done twice', async (fault) => {
  const run = pipelined([three], { train: { epochs: 4 } }, { fleet: fleet('abcd'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const layouts = eventsOf(outcome.events, 'layout');
  expect(layouts.at(-1)!.groups[0]!.stages.map(({ name }) => name)).toEqual([...'abc'].map((name) => (name === fault.worker ? 'd' : name)));
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});

test('without a spare the solo workers go on, and the pipeline is there again when its worker is', async () => {
  const cut: Fault = { kind: 'cut', worker: 'b', atMs: 300 };
  const run = pipelined([three, [{ workers: ['d'] }]], { train: { epochs: 12 } }, { fleet: fleet('abcd'), faults: [cut] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 12 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(run.job, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const rounds = new Map<number, string[]>();
  for (const { round, name, accepted } of eventsOf(outcome.events, 'contribution')) {
    if (accepted) rounds.set(round, [...(rounds.get(round) ?? []), name]);
  }
  const shapes = [...rounds.values()].map((names) => names.sort().join(''));
  expect(shapes.filter((shape, i) => shape !== shapes[i - 1])).toEqual(['abcd', 'd', 'abcd']);
});

test('a solo worker that is left over from a broken layout steps for itself', async () => {
  const kill: Fault = { kind: 'kill', worker: 'b', atMs: 300 };
  const run = pipelined([three, [{ workers: ['d'] }]], { train: { epochs: 12 } }, { fleet: fleet('abcd'), faults: [kill] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 12 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(run.job, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(eventsOf(outcome.events, 'commit').at(-1)!.reason).toContain('local steps of d');
});

test('a pipeline without a spare waits for its worker, then the run fails with what was learnt', async () => {
  const run = pipelined([three], { train: { epochs: 12 } }, { fleet: fleet('abc'), faults: [{ kind: 'kill', worker: 'b', atMs: 400 }] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'failed', model: 'memory:model', error: { code: 'timeout' } });
  expect(outcome.verdict.reason).toContain('the layout lacks worker b');
});

test('a device that fails a pass gives the group’s samples back once', async () => {
  const fail: Fault = { kind: 'fail', worker: 'b', atMs: 300 };
  const run = pipelined([three], { train: { epochs: 4 } }, { fleet: fleet('abc'), faults: [fail] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fail);
  expectSameTraining(run, outcome);
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused).toMatchObject(['a', 'b', 'c'].map((name) => ({ name, reason: 'b, stage 1 of p1: the device gave up' })));
});

test('a layout that moves a worker which steps for itself first lets it come home', async () => {
  const cuts = [{ start: 0, end: 4 }, { start: 4, end: 6 }];
  const layout: LayoutPlan = ({ nodes }) => {
    const rhythm = { microbatch: 5, schedule: '1f1b' } as const;
    const [a, b] = nodes;
    const groups =
      b === undefined
        ? nodes.map(({ node }) => ({ ...rhythm, stages: [{ blocks: 'all' as const, nodes: [node] }] }))
        : [{ ...rhythm, stages: [a!, b].map(({ node }, i) => ({ blocks: cuts[i]!, nodes: [node] })) }];
    return { groups, lacks: undefined, reason: 'two are better' };
  };
  const [a, b] = fleet('ab');
  const long = job({ train: { epochs: 20 } });
  const outcome = await simulate(scenario({ ...base, job: long, fleet: [a!, { ...b!, joinAtMs: 1500 }], layout }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 20 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(long, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const kinds = eventsOf(outcome.events, 'commit').map(({ reason }) => (reason.includes('local steps') ? 'local' : 'round'));
  expect(kinds.filter((kind, i) => kind !== kinds[i - 1])).toEqual(['local', 'round']);
});
