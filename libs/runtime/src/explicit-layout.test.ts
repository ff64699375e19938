import { nodesOf, type GroupLayout, type Job, type JobStage, type LayoutRequest } from '@longtail/core';
import { expect, test } from 'vitest';
import { explicitLayout } from './explicit-layout.js';

const layout: readonly (readonly JobStage[])[] = [
  [
    { workers: ['a'], blocks: 3 },
    { workers: ['b'], blocks: 2 },
  ],
  [
    { workers: ['c'], blocks: 3 },
    { workers: ['d'], blocks: 2 },
  ],
  [{ workers: ['e'] }],
];

function request(names: string, changes: Partial<LayoutRequest> = {}, of: Job['cluster']['layout'] | 'none' = layout): LayoutRequest {
  const device = { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 } as const;
  const nodes = [...names].map((name) => ({ node: `n-${name}`, name, device }));
  const job = { train: { batch: 96 }, sync: { strategy: 'bsp' }, cluster: { layout: of === 'none' ? undefined : of } } as unknown as Job;
  return { job, nodes, peers: [], current: [], begun: false, model: undefined, ...changes };
}

const seats = (groups: readonly GroupLayout[]) => groups.map((group) => nodesOf(group).map((node) => node.slice(2)).join(''));

test('without a layout everybody is solo, in the order of joining', () => {
  const { groups, lacks } = explicitLayout(request('ba', {}, 'none'));
  expect(groups.map(({ stages }) => stages)).toEqual([[{ blocks: 'all', nodes: ['n-b'] }], [{ blocks: 'all', nodes: ['n-a'] }]]);
  expect(lacks).toBeUndefined();
});

test('who computes activations again is a stage of a pipeline: a solo worker stashes none', () => {
  const asked = request('abcde');
  const { groups } = explicitLayout({ ...asked, job: { ...asked.job, cluster: { ...asked.job.cluster, recompute: 'always' } } });
  expect(groups.map(({ stages }) => stages.map(({ recompute }) => recompute))).toEqual([[true, true], [true, true], [undefined]]);
});

test('groups stand once all their workers are there, and it says who is missing', () => {
  expect(explicitLayout(request('ac'))).toMatchObject({ groups: [], lacks: 'workers b, d, e' });
  const { groups, lacks } = explicitLayout(request('cdba'));
  expect(seats(groups)).toEqual(['ab', 'cd']);
  expect(lacks).toBe('worker e');
  expect(groups[0]).toMatchObject({ microbatch: 4, schedule: 'capped-1f1b' });
  expect(groups[0]!.stages.map(({ blocks }) => blocks)).toEqual([{ start: 0, end: 3 }, { start: 3, end: 5 }]);
});

test('a worker that is named by its name and by its number has one place', () => {
  const twice: readonly (readonly JobStage[])[] = [[{ workers: [1], blocks: 3 }, { workers: ['a'], blocks: 2 }]];
  expect(explicitLayout(request('ab', {}, twice))).toMatchObject({ groups: [], lacks: 'worker a' });
  expect(seats(explicitLayout(request('ba', {}, twice)).groups)).toEqual(['ba']);
});

test('a group that stands first is not taken for another one of its shape', () => {
  const { groups: current } = explicitLayout(request('cd'));
  const { groups, lacks } = explicitLayout(request('cdabe', { current }));
  expect(seats(groups)).toEqual(['ab', 'cd', 'e']);
  expect(groups[1]).toBe(current[0]);
  expect(lacks).toBeUndefined();
});

test('after the run has begun spares take the places of those who are gone, and keep them', () => {
  const { groups: before } = explicitLayout(request('abcde'));
  const broken = { current: before.slice(0, 1), begun: true };
  expect(seats(explicitLayout(request('abcesx', { ...broken, begun: false })).groups)).toEqual(['ab', 'e']);
  const { groups: current } = explicitLayout(request('abcesx', broken));
  expect(seats(current)).toEqual(['ab', 'cs', 'e']);
  expect(seats(explicitLayout(request('abcesxd', { current, begun: true })).groups)).toEqual(['ab', 'cs', 'e']);
});

test('a spare that is one too few stays free for the next group', () => {
  const { groups, lacks } = explicitLayout(request('des', { begun: true }));
  expect(seats(groups)).toEqual(['sd', 'e']);
  expect(lacks).toBe('worker b');
});

test('workers may be called by their number', () => {
  const { groups } = explicitLayout(request('xyz', {}, [[{ workers: [3], blocks: 1 }, { workers: [1], blocks: 1 }], [{ workers: [2] }]]));
  expect(seats(groups)).toEqual(['zx', 'y']);
});

test('replicas of a stage, and stages of one worker, are laid out as the job says, and a spare takes the place of one', () => {
  const job: readonly (readonly JobStage[])[] = [
    [
      { workers: ['a'], blocks: 1 },
      { workers: ['b', 'c'], blocks: 2 },
    ],
    [
      { workers: ['d'], blocks: 1 },
      { workers: ['e'], blocks: 1 },
      { workers: ['d'], blocks: 1 },
      { workers: ['e'], blocks: 1 },
    ],
  ];
  const { groups: current, lacks } = explicitLayout(request('edcba', {}, job));
  expect(current.map(({ stages }) => stages.map(({ nodes }) => nodes.map((node) => node.slice(2)).join('')))).toEqual([
    ['a', 'bc'],
    ['d', 'e', 'd', 'e'],
  ]);
  expect(current[0]).toMatchObject({ microbatch: 4 }); // of 48 samples, four for each of three workers
  expect(lacks).toBeUndefined();
  expect(explicitLayout(request('edcba', { current }, job)).groups).toEqual(current);
  const broken = explicitLayout(request('edbasx', { current: current.slice(1), begun: true }, job)).groups;
  expect(seats(broken)).toEqual(['abs', 'de']);
  expect(seats(explicitLayout(request('edbasxc', { current: broken, begun: true }, job)).groups)).toEqual(['abs', 'de']);
});

test('a stage of a pipeline needs a count of blocks', () => {
  expect(() => explicitLayout(request('ab', {}, [[{ workers: ['a'] }, { workers: ['b'], blocks: 1 }]]))).toThrow(/without a count of blocks/);
});
