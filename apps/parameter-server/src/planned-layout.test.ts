import type { BlockProfile, Job, LayoutNode, LayoutRequest, ModelProfile } from '@longtail/core';
import { expect, test } from 'vitest';
import { plannedLayout } from './planned-layout.js';

const MIB = 2 ** 20;

/** Six blocks of 5 MiB of parameters each; the whole takes 270 MiB with Adam's moments on both sides. */
const block = (name: string): BlockProfile => ({
  name,
  parameters: (5 * MIB) / 4,
  tied: [],
  forwardFlops: 1e7,
  backwardFlops: 2e7,
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
  device: { engine: 'cpu', description: '', memoryBytes: mebibytes * MIB, gflops, throttle: 1 },
});

const layout = plannedLayout(() => profile);
const request = (nodes: readonly LayoutNode[], rest: Partial<LayoutRequest> = {}): LayoutRequest => ({
  job,
  nodes,
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

test('those that do not hold it become pipelines beside the solo ones, each block once, within what each offers', () => {
  const { groups, lacks, reason } = layout(request([node('a', 1024), node('b', 230), node('c', 230, 25)]));
  expect(lacks).toBeUndefined();
  const pipeline = groups.find(({ stages }) => stages.length > 1)!;
  expect(groups.filter(({ stages }) => stages.length === 1).map(({ stages }) => stages[0]!.node)).toEqual(['a']);
  const ranges = pipeline.stages.map(({ blocks }) => blocks as { start: number; end: number });
  expect(ranges[0]!.start).toBe(0);
  expect(ranges.at(-1)!.end).toBe(6);
  ranges.slice(1).forEach(({ start }, i) => expect(start).toBe(ranges[i]!.end));
  for (const { start, end } of ranges) expect((end - start) * 45).toBeLessThan(0.65 * 230); // MiB: value, gradient, copies, moments
  expect(reason).toMatch(/whole model takes \d+ MiB/);
});

test('nothing is planned before all are here that the job waits for', () => {
  const { groups, lacks } = layout(request([node('a', 230), node('b', 230)]));
  expect(groups).toEqual([]);
  expect(lacks).toBe('1 more worker to plan with');
});

test('moments in 8 bits stay at the server: workers that could not hold the model with its moments hold it', () => {
  const nodes = [node('a', 300), node('b', 300), node('c', 300)];
  const coded = { ...job, train: { ...job.train, optimizer: { ...adam, stateBits: 8 } } } as Job;
  const stages = (groups: ReturnType<typeof layout>['groups']) => groups.map((group) => group.stages.length);
  expect(stages(layout({ ...request(nodes), job: coded }).groups)).toEqual([1, 1, 1]);
  expect(Math.max(...stages(layout(request(nodes)).groups))).toBeGreaterThan(1);
});

test('a fleet that cannot hold the model is told what is missing', () => {
  const { groups, lacks } = layout(request([node('a', 20), node('b', 20), node('c', 20)]));
  expect(groups).toEqual([]);
  expect(lacks).toMatch(/no plan: .* needs \d+/);
});

test('a pipeline that stands is left alone; who comes later waits until those who are free can form another', () => {
  const [b, c, d, e] = [node('b', 230), node('c', 230), node('d', 230), node('e', 230)];
  const first = layout(request([b, c, node('a', 1024)])).groups;
  const standing = first.filter(({ stages }) => stages.length > 1);
  const waiting = layout(request([b, c, d], { current: standing, begun: true }));
  expect(waiting.groups).toEqual(standing);
  expect(waiting.reason).toMatch(/no plan/);
  const grown = layout(request([b, c, d, e], { current: standing, begun: true }));
  expect(grown.groups.slice(0, 1)).toEqual(standing);
  expect(grown.groups[1]!.stages.map(({ node }) => node).sort()).toEqual(['d', 'e']);
});

test('a job that lays itself out, or whose model nobody knows, is laid out as it says', () => {
  const own = { ...job, cluster: { ...job.cluster, layout: [[{ worker: 'a' }]] } } as unknown as Job;
  expect(layout({ ...request([node('a', 1)]), job: own }).groups[0]!.stages).toEqual([{ node: 'a', blocks: 'all' }]);
  expect(plannedLayout(() => undefined)(request([node('a', 1)])).reason).toMatch(/every worker holds the whole model/);
});
