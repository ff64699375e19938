import type { BlockTiming } from '@longtail/core';
import { expect, test } from 'vitest';
import { measuredCluster } from './measured-cluster.js';

const assumedLink = { upBitsPerSecond: 1e9, downBitsPerSecond: 2e9, roundTripMs: 1 };
const link = { upBitsPerSecond: 2e7, downBitsPerSecond: 1e8, roundTripMs: 30 };
const device = { engine: 'wasm', memoryBytes: 2 ** 30, gflops: 50 };
const block = (name: string) => ({ name, parameters: 1, tied: [], forwardFlops: 1, backwardFlops: 2, outputBytes: 4, stashBytes: 4, cutAfter: true });
const profile = { name: 'two', inputBytes: 4, blocks: [block('first'), block('second')] };
const timing = (name: string, microbatch: number, forwardMs: number): BlockTiming => ({
  block: name,
  microbatch,
  forwardMs,
  backwardMs: 2 * forwardMs,
  inputGradientMs: forwardMs,
  stashBytes: 1,
  forwardCallMs: 0,
  backwardCallMs: 0,
  recomputeMs: 0,
});

test('a node that measured nothing is known by its GFLOP/s, and its link is assumed', () => {
  const { devices } = measuredCluster([{ node: 'n1', name: 'a', device }], { peers: [], assumedLink });
  expect(devices).toEqual([{ id: 'n1', name: 'a', flopsPerSecond: 5e10, memoryBytes: 2 ** 30, stashFactor: 1.8, ...assumedLink, linkAssumed: true }]);
  const unmeasured = { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 };
  expect(measuredCluster([{ node: 'n1', name: 'a', device, link: unmeasured }], { peers: [], assumedLink }).devices).toEqual(devices);
});

test('what was measured is taken in the order of the model’s blocks, each size that has them all', () => {
  const blocks = [timing('second', 1, 5), timing('first', 1, 3), timing('first', 4, 9)];
  const { devices } = measuredCluster([{ node: 'n1', name: 'a', device, link, blocks }], { peers: [], assumedLink, profile });
  expect(devices[0]).toMatchObject({ ...link, blockTimes: [{ microbatch: 1, forwardMs: [3, 5], backwardMs: [6, 10], inputGradientMs: [3, 5] }] });
  expect(devices[0]!.linkAssumed).toBeUndefined();
  const half = measuredCluster([{ node: 'n1', name: 'a', device, link, blocks, pace: 0.5 }], { peers: [], assumedLink, profile });
  expect(half.devices[0]).toMatchObject({ flopsPerSecond: 2.5e10, blockTimes: [{ microbatch: 1, forwardMs: [6, 10], backwardMs: [12, 20], inputGradientMs: [6, 10] }] });
  const incomplete = measuredCluster([{ node: 'n1', name: 'a', device, link, blocks: [timing('first', 4, 9)] }], { peers: [], assumedLink, profile });
  expect(incomplete.devices[0]!.blockTimes).toBeUndefined();
});

test('calls and hand-overs come along, calls at the pace of late', () => {
  const blocks = ['first', 'second'].map((name) => ({ ...timing(name, 1, 3), forwardCallMs: 0.5, backwardCallMs: 1 }));
  const { devices } = measuredCluster([{ node: 'n1', name: 'a', device, link, blocks, handOverMs: 0.7, pace: 0.5 }], { peers: [], assumedLink, profile });
  expect(devices[0]).toMatchObject({ handOverMs: 0.7, blockTimes: [{ forwardCallMs: 1, backwardCallMs: 2 }] });
  const described = measuredCluster([{ node: 'n1', name: 'a', device, link, handOverMs: 0.7, callMs: 0.3 }], { peers: [], assumedLink, profile });
  expect(described.devices[0]).toMatchObject({ handOverMs: 0.7, callMs: 0.3 });
});

test('computing again takes what was measured, where it was, and else as long as the forward pass', () => {
  const blocks = [{ ...timing('first', 1, 3), recomputeMs: 2 }, timing('second', 1, 5)];
  const { devices } = measuredCluster([{ node: 'n1', name: 'a', device, link, blocks, pace: 0.5 }], { peers: [], assumedLink, profile });
  expect(devices[0]!.blockTimes).toMatchObject([{ recomputeMs: [4, 10] }]);
});

test('nobody uploads more than its owner allows, measured or not', () => {
  const upOf = (more: object) => measuredCluster([{ node: 'n1', name: 'a', device, ...more }], { peers: [], assumedLink }).devices[0]!.upBitsPerSecond;
  expect(upOf({ link, maxUploadBitsPerSecond: 1e7 })).toBe(1e7);
  expect(upOf({ link, maxUploadBitsPerSecond: 1e8 })).toBe(2e7);
  expect(upOf({ link, maxUploadBitsPerSecond: 0 })).toBe(2e7);
  expect(upOf({ maxUploadBitsPerSecond: 1e7 })).toBe(1e7);
});

test('links between nodes count where both are here', () => {
  const nodes = ['n1', 'n2'].map((node) => ({ node, name: node, device }));
  const peer = (a: string, b: string) => ({ between: [a, b] as [string, string], bitsPerSecond: 1e9, roundTripMs: 1, messageMs: 0.5 });
  expect(measuredCluster(nodes, { peers: [peer('n1', 'n2'), peer('n1', 'n3')], assumedLink }).peers).toEqual([peer('n1', 'n2')]);
});
