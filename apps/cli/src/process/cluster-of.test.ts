import { modelKey, type Job } from '@longtail/core';
import { expect, it } from 'vitest';
import { clusterOf } from './cluster-of.js';

const link = { upBitsPerSecond: 2e7, downBitsPerSecond: 1e8, roundTripMs: 30 };
const node = (name: string, gflops: number) => ({ node: `id-${name}`, name, device: { engine: 'tensorflow', memoryBytes: 2 ** 33, gflops }, profiledModel: '' });

const job = { model: { type: 'mlp', input: 4, hidden: [8], outputs: 2 }, loss: 'cross-entropy' } as const;
const block = (name: string) => ({ name, parameters: 40, tied: [], forwardFlops: 80, backwardFlops: 160, outputBytes: 32, stashBytes: 48, cutAfter: true });
const at = (server: string) => ({ server, job, profile: { name: 'mlp', inputBytes: 16, blocks: ['hidden0', 'output'].map(block) } });
const UNTIMED = /^times are by the GFLOP\/s of a large product, often several times off: /;

it('plans with what workers say of themselves and what was measured, and says what it assumes', () => {
  const nodes = [node('ada', 500), node('ben', 0), { ...node('cid', 50), link }];
  const peers = [{ between: ['id-ada', 'id-cid'], bitsPerSecond: 1e8, roundTripMs: 2, messageMs: 1 }];
  const { cluster, notes } = clusterOf(nodes, peers, at('192.168.1.4:7077'));
  expect(cluster.devices).toEqual([
    {
      id: 'id-ada',
      name: 'ada',
      flopsPerSecond: 5e11,
      memoryBytes: 2 ** 33,
      upBitsPerSecond: 1e9,
      downBitsPerSecond: 1e9,
      roundTripMs: 1,
      linkAssumed: true,
    },
    { id: 'id-cid', name: 'cid', flopsPerSecond: 5e10, memoryBytes: 2 ** 33, ...link },
  ]);
  expect(cluster.peers).toEqual(peers);
  expect(notes).toEqual([
    expect.stringMatching(UNTIMED),
    'without a measured link: ada; 1000 Mbit/s up, 1000 down, 1 ms assumed (lan)',
    'without a measured speed, and so not planned with: ben',
  ]);
});

it('takes a server elsewhere to be behind home links', () => {
  expect(clusterOf([node('ada', 1)], [], at('train.example.org:7077')).notes[1]).toContain('20 Mbit/s up, 120 down, 30 ms assumed (cable)');
});

it('refuses to guess speeds', () => {
  expect(() => clusterOf([node('ben', 0)], [], at('localhost:1'))).toThrow('no worker has measured its speed');
});

it("plans by the times of the model's blocks where all workers have them, and says where they have not", () => {
  const timing = (name: string, ms: number) => ({ block: name, microbatch: 4, forwardMs: ms, backwardMs: 2 * ms, inputGradientMs: ms, stashBytes: 0, forwardCallMs: 0, backwardCallMs: 0, recomputeMs: ms });
  const timed = (name: string, ms: number, of: Pick<Job, 'model' | 'loss'> = job) => ({ ...node(name, 50), link, blocks: [timing('hidden0', ms), timing('output', ms)], handOverMs: 0.5, profiledModel: modelKey(of) });
  const all = clusterOf([timed('ada', 1), timed('ben', 2)], [], at('10.0.0.1:7077'));
  expect(all.notes).toEqual([]);
  expect(all.cluster.devices.map(({ blockTimes, handOverMs }) => [blockTimes?.map(({ microbatch, forwardMs }) => [microbatch, forwardMs]), handOverMs])).toEqual([
    [[[4, [1, 1]]], 0.5],
    [[[4, [2, 2]]], 0.5],
  ]);
  const wider = { ...job, model: { ...job.model, hidden: [16] } };
  for (const other of [timed('ben', 2, wider), { ...node('ben', 50), link }]) {
    const some = clusterOf([timed('ada', 1), other], [], at('10.0.0.1:7077'));
    expect(some.notes).toEqual([expect.stringMatching(UNTIMED)]);
    expect(some.notes[0]).toContain('not all workers have (ben)');
    for (const device of some.cluster.devices) expect([device.blockTimes, device.handOverMs]).toEqual([undefined, undefined]);
  }
});
