import type { BlockProfile, GroupLayout, Job, LayoutNode, LayoutRequest, ModelProfile } from '@longtail/core';
import { createSchedule } from '@longtail/schedule';
import { expect, test } from 'vitest';
import { plannedLayout } from './planned-layout.js';

const MIB = 2 ** 20;

/** Six blocks of 5 MiB of parameters each, 25 MiB as a stage; the whole takes 270 MiB with Adam's moments on both sides. */
const block = (name: string): BlockProfile => ({
  name,
  parameters: (5 * MIB) / 4,
  tied: [],
  forwardFlops: 1e9,
  backwardFlops: 2e9,
  outputBytes: 4096,
  stashBytes: 8192,
  cutAfter: true,
});
const profile: ModelProfile = { name: 'six', inputBytes: 512, blocks: [...'abcdef'].map(block) };

const adam = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false };
const job = { train: { batch: 32, optimizer: adam }, sync: { codec: 'fp32' }, cluster: { minWorkers: 3, waitMs: 1000 } } as unknown as Job;

const node = (name: string, mebibytes: number, gflops = 50): LayoutNode => ({
  node: name,
  name,
  device: { engine: 'tensorflow', description: '', memoryBytes: mebibytes * MIB, gflops, throttle: 1 },
  blocks: [], // could not be measured
});

const layout = plannedLayout(() => profile);
const request = (nodes: readonly LayoutNode[], rest: Partial<LayoutRequest> = {}): LayoutRequest => ({
  job,
  nodes,
  peers: [],
  current: [],
  begun: false,
  model: undefined,
  ...rest,
});

test('workers that hold the whole model are solo, whatever their number', () => {
  const { groups, lacks } = layout(request([node('a', 1024), node('b', 1024)]));
  expect(groups.map(({ stages }) => stages.map(({ blocks }) => blocks))).toEqual([['all'], ['all']]);
  expect(lacks).toBeUndefined();
});

test('who would hold the whole model only if it computed activations again is no solo worker', () => {
  // Of 1024 samples 48 MiB, kept and worked on: 366 MiB in all, 318 MiB with recompute.
  const wide = { ...job, cluster: { ...job.cluster, minWorkers: 2, microbatch: 1024, recompute: 'allowed' } } as Job;
  const stagesOf = (mebibytes: number) =>
    layout({ ...request([node('a', mebibytes), node('b', mebibytes)]), job: wide }).groups.map(({ stages }) => stages.length);
  expect(stagesOf(400)).toEqual([1, 1]);
  expect(stagesOf(340)).toEqual([2]);
});

test('the planner has those that hold it beside pipelines of the others, each block once, within what each offers', () => {
  const { groups, lacks, plan } = layout(request([node('a', 1024), node('b', 120), node('c', 120, 25)]));
  expect(lacks).toBeUndefined();
  const pipeline = groups.find(({ stages }) => stages.length > 1)!;
  expect(groups.filter(({ stages }) => stages.length === 1).map(({ stages }) => stages[0]!.nodes[0])).toEqual(['a']);
  const ranges = pipeline.stages.map(({ blocks }) => blocks as { start: number; end: number });
  expect(ranges[0]!.start).toBe(0);
  expect(ranges.at(-1)!.end).toBe(6);
  ranges.slice(1).forEach(({ start }, i) => expect(start).toBe(ranges[i]!.end));
  for (const { start, end } of ranges) expect((end - start) * 25).toBeLessThan(120);
  expect(plan!.groups.map(({ kind }) => kind).sort()).toEqual(['pipeline', 'solo']);
  const planned = plan!.groups.find(({ kind }) => kind === 'pipeline')!;
  expect(pipeline.maxStash).toEqual(planned.stages.map(({ stashCap }) => stashCap));
  expect(pipeline.timings).toEqual(planned.stages.map(({ timing }) => timing));
});

test('each group is expected to take as long as the plan has for its samples', () => {
  const nodes = [node('a', 1024), node('b', 120), node('c', 120, 25)];
  const planned = layout(request(nodes));
  const cluster = { ...job.cluster, layout: [[{ workers: ['a'] }], [{ workers: ['b'], blocks: 4 }, { workers: ['c'], blocks: 2 }]] };
  const own = layout({ ...request(nodes), job: { ...job, cluster } as Job });
  for (const { groups, plan } of [planned, own]) {
    expect(groups).toHaveLength(2);
    for (const { expected, stages } of groups) {
      const group = plan!.groups.find((candidate) => candidate.stages[0]!.devices[0]!.device === stages[0]!.nodes[0])!;
      expect(expected!.exchangeMs + group.samples * expected!.msPerSample).toBeCloseTo(group.stepMs + group.exchangeMs, 6);
      expect(expected!.exchangeMs).toBeGreaterThanOrEqual(0);
    }
  }
});

test('a worker that holds the model and is not worth waiting for is left out, and told why', () => {
  const { groups, plan } = layout(request([node('a', 1024), node('b', 120), node('c', 1024, 0.001)]));
  expect(groups.flatMap(({ stages }) => stages.flatMap((stage) => stage.nodes))).not.toContain('c');
  expect(plan!.leftOut).toMatchObject([{ device: 'c', reason: expect.stringMatching(/a sample takes it \d+/) as unknown }]);
});

test('a stage that is too slow for one of workers that reach each other gets several', () => {
  const heavy: BlockProfile = { ...block('heavy'), forwardFlops: 2e9, backwardFlops: 4e9 };
  const uneven = plannedLayout(() => ({ ...profile, blocks: [{ ...block('light'), parameters: 5 * MIB }, { ...heavy, parameters: 5 * MIB }] }));
  const nodes = ['a', 'b', 'c'].map((name) => node(name, 140));
  const pairs = [['a', 'b'], ['b', 'c'], ['a', 'c']] as const;
  const peers = pairs.map((between) => ({ between, bitsPerSecond: 1e10, roundTripMs: 0.2, messageMs: 0.1 }));
  const { groups, plan } = uneven(request(nodes, { peers }));
  expect(groups.map(({ stages }) => stages.map((stage) => stage.nodes.length))).toEqual([[1, 2]]);
  expect(plan!.groups[0]!.stages.map(({ devices }) => devices.map(({ samples }) => samples))).toEqual([[32], [16, 16]]);
  expect(groups[0]!.maxStash).toEqual(plan!.groups[0]!.stages.map(({ stashCap }) => stashCap));
});

test('nothing is planned before all are here that the job waits for', () => {
  const { groups, lacks } = layout(request([node('a', 230), node('b', 230)]));
  expect(groups).toEqual([]);
  expect(lacks).toBe('1 more worker to plan with');
});

test('who may have a stage is measured first, and then has blocks by its times', () => {
  const two = { job: { ...job, cluster: { ...job.cluster, minWorkers: 2 } } };
  const [b, c] = [node('b', 120), node('c', 120)]; // four blocks at most
  const { groups, lacks, wants } = layout(request([b, c].map(({ blocks: _, ...rest }) => rest), two));
  expect(groups).toEqual([]);
  expect(lacks).toBe('what its workers measure');
  expect(wants).toEqual({ nodes: ['b', 'c'], microbatches: [1, 4, 16] });
  const timed = (factor: number) =>
    profile.blocks.flatMap(({ name }) =>
      [1, 8].map((microbatch) => ({
        block: name,
        microbatch,
        forwardMs: factor * microbatch,
        backwardMs: 2 * factor * microbatch,
        inputGradientMs: factor * microbatch,
        stashBytes: 0,
        forwardCallMs: 0,
        backwardCallMs: 0,
        recomputeMs: 0,
      })),
    );
  // By their GFLOP/s they are equal; in truth c is twice as fast.
  const measured = layout(request([{ ...b, blocks: timed(2) }, { ...c, blocks: timed(1) }], two));
  expect(measured.wants).toBeUndefined();
  const { stages } = measured.groups.find(({ stages }) => stages.length > 1)!;
  const count = (name: string) => {
    const { start, end } = stages.find(({ nodes }) => nodes.includes(name))!.blocks as { start: number; end: number };
    return end - start;
  };
  expect(count('c')).toBeGreaterThan(count('b'));
});

test('moments in 8 bits stay at the server: workers that could not hold the model with its moments hold it', () => {
  const nodes = [node('a', 200), node('b', 200), node('c', 200)];
  const coded = { ...job, train: { ...job.train, optimizer: { ...adam, stateBits: 8 } } } as Job;
  const stages = (groups: ReturnType<typeof layout>['groups']) => groups.map((group) => group.stages.length);
  expect(stages(layout({ ...request(nodes), job: coded }).groups)).toEqual([1, 1, 1]);
  expect(Math.max(...stages(layout(request(nodes)).groups))).toBeGreaterThan(1);
});

test('before training begins a fleet that is no longer alike is planned as a whole; a group at work that nobody measured is not', () => {
  const { blocks: _, ...whole } = node('a', 1024);
  const solo = layout(request([whole], { job: { ...job, cluster: { ...job.cluster, minWorkers: 1 } } })).groups;
  const later = [whole, node('b', 120), node('c', 120)];
  expect(layout(request(later, { current: solo })).wants!.nodes).toEqual(['a']);
  const begun = layout(request(later, { current: solo, begun: true }));
  expect(begun.groups.slice(0, 1)).toEqual(solo);
  expect(begun.groups).toHaveLength(2);
  expect(begun.plan).toBeUndefined();
});

test('a fleet that cannot hold the model is told what is missing', () => {
  const { groups, lacks, shortfall } = layout(request([node('a', 20), node('b', 20), node('c', 20)]));
  expect(groups).toEqual([]);
  expect(lacks).toBe('memory');
  expect(shortfall!.message).toMatch(/no plan: .* needs \d+/);
});

test('a pipeline that stands is left alone; who comes later waits until those who are free can form another', () => {
  const [b, c, d, e] = [node('b', 120), node('c', 120), node('d', 120), node('e', 120)];
  const standing = layout(request([b, c], { begun: true })).groups;
  expect(standing.map(({ stages }) => stages.length)).toEqual([2]);
  const waiting = layout(request([b, c, d], { current: standing, begun: true }));
  expect(waiting.groups).toEqual(standing);
  expect(waiting.reason).toMatch(/no plan/);
  expect(waiting.plan!.groups).toHaveLength(1);
  const grown = layout(request([b, c, d, e], { current: standing, begun: true }));
  expect(grown.groups.slice(0, 1)).toEqual(standing);
  expect(grown.groups[1]!.stages.flatMap(({ nodes }) => nodes).sort()).toEqual(['d', 'e']);
  expect(grown.plan!.groups).toHaveLength(2);
});

test('a job that lays itself out is told what to expect of it; what cannot be is left for the run to refuse', () => {
  const own = (...blocks: readonly number[]) => laidOut([node('a', 1024), node('b', 1024)], blocks);
  const laidOut = (nodes: readonly LayoutNode[], blocks: readonly number[]) => {
    const stages = blocks.map((count, i) => ({ workers: [['a', 'b'][i]!], blocks: count }));
    const cluster = { ...job.cluster, layout: [stages] };
    return layout({ ...request(nodes), job: { ...job, cluster } as Job });
  };
  const { groups, plan } = own(2, 4);
  expect(plan!.method).toBe('given');
  expect(plan!.groups[0]!.stages.map(({ blocks, devices }) => [blocks.start, blocks.end, devices[0]!.device])).toEqual([
    [0, 2, 'a'],
    [2, 6, 'b'],
  ]);
  expect(groups[0]!.maxStash).toEqual(plan!.groups[0]!.stages.map(({ stashCap }) => stashCap));
  const { blocks: _, ...unmeasured } = node('b', 1024);
  expect(laidOut([node('a', 1024), unmeasured], [2, 4]).wants).toEqual({ nodes: ['b'], microbatches: [1, 4, 16] });
  expect(own(2, 5).plan).toBeUndefined();
  expect(own(2, 3).plan).toBeUndefined();
});

test('none of its groups is formed before all are here, so that nobody builds before it was measured', () => {
  const pair = (...workers: readonly string[]) => workers.map((worker, i) => ({ workers: [worker], blocks: 2 + 2 * i }));
  const cluster = { ...job.cluster, layout: [pair('a', 'b'), pair('c', 'd')] };
  const unmeasured = ['a', 'b', 'c', 'd'].map((name) => node(name, 1024)).map(({ blocks: _, ...rest }) => rest);
  const early = layout({ ...request(unmeasured.slice(0, 3)), job: { ...job, cluster } as Job });
  expect(early.groups).toEqual([]);
  expect(early.lacks).toBe('worker d');
  const complete = layout({ ...request(unmeasured), job: { ...job, cluster } as Job });
  expect(complete.wants?.nodes).toEqual(['a', 'b', 'c', 'd']);
});

test('a stage computes again what its device has no room to keep, or where the job says so; the others keep it', () => {
  // Two microbatches of 512 samples in flight take the first stage 16 MiB, beside 58.
  const laidOut = (mebibytes: number, recompute?: Job['cluster']['recompute']) => {
    const own = [[{ workers: ['a'], blocks: 2 }, { workers: ['b'], blocks: 4 }]];
    const cluster = { ...job.cluster, layout: own, microbatch: 512, recompute };
    const { groups } = layout({ ...request([node('a', mebibytes), node('b', 1024)]), job: { ...job, train: { ...job.train, batch: 2048 }, cluster } as Job });
    return groups[0]!.stages.map((stage) => stage.recompute === true);
  };
  expect(laidOut(1024)).toEqual([false, false]);
  expect(laidOut(62)).toEqual([true, false]);
  expect(laidOut(62, 'never')).toEqual([false, false]);
  expect(laidOut(1024, 'always')).toEqual([true, true]);
});

test('a job that lays itself out, or whose model nobody knows, is laid out as it says', () => {
  const own = { ...job, cluster: { ...job.cluster, layout: [[{ workers: ['a'] }]] } } as unknown as Job;
  expect(layout({ ...request([node('a', 1)]), job: own }).groups[0]!.stages).toEqual([{ blocks: 'all', nodes: ['a'] }]);
  expect(plannedLayout(() => undefined)(request([node('a', 1)])).reason).toMatch(/every worker holds the whole model/);
});

test('a job that lays stages out in turns is told what to expect, as the workers will count it', () => {
  const turn = [1, 2, 1, 2].map((worker, i) => ({ workers: [worker], blocks: i < 2 ? 2 : 1 }));
  const turns = { ...job, cluster: { ...job.cluster, minWorkers: 2, schedule: 'interleaved', microbatch: 4, layout: [turn] } } as Job;
  const { groups, plan } = layout({ ...request([node('a', 300), node('b', 300)]), job: turns });
  expect(groups[0]!.schedule).toBe('interleaved');
  expect(plan!.groups[0]).toMatchObject({ schedule: 'interleaved', microbatches: 8 });
  const schedule = createSchedule('interleaved', { chunks: 2 });
  const timings = plan!.groups[0]!.stages.map(({ timing }) => timing);
  expect(groups[0]!.maxStash).toEqual([0, 1, 0, 1].map((rank) => schedule.stashCap(rank, timings, 8)));
});

test('asked for interleaved, the planner has the workers of a pipeline take several stages each', () => {
  const asked = { ...job, cluster: { ...job.cluster, minWorkers: 2, schedule: 'interleaved' } } as Job;
  const { groups } = layout({ ...request([node('a', 230), node('b', 230)]), job: asked });
  const [{ stages, schedule }] = groups as [GroupLayout];
  expect(schedule).toBe('interleaved');
  expect(stages.map(({ nodes }) => nodes[0])).toEqual(stages.map((_, i) => stages[i % 2]!.nodes[0]));
  expect(stages.length).toBeGreaterThan(2);
});
