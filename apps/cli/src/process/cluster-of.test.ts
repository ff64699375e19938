import { expect, it } from 'vitest';
import { clusterOf } from './cluster-of.js';

const link = { upBitsPerSecond: 2e7, downBitsPerSecond: 1e8, roundTripMs: 30 };
const node = (name: string, gflops: number) => ({ node: `id-${name}`, name, device: { engine: 'tensorflow', memoryBytes: 2 ** 33, gflops } });

it('plans with what workers say of themselves and what was measured, and says what it assumes', () => {
  const nodes = [node('ada', 500), node('ben', 0), { ...node('cid', 50), link }];
  const peers = [{ between: ['id-ada', 'id-cid'], bitsPerSecond: 1e8, roundTripMs: 2, messageMs: 1 }];
  const { cluster, notes } = clusterOf(nodes, peers, '192.168.1.4:7077');
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
    'without a measured link: ada; 1000 Mbit/s up, 1000 down, 1 ms assumed (lan)',
    'without a measured speed, and so not planned with: ben',
  ]);
});

it('takes a server elsewhere to be behind home links', () => {
  expect(clusterOf([node('ada', 1)], [], 'train.example.org:7077').notes[0]).toContain('20 Mbit/s up, 120 down, 30 ms assumed (cable)');
});

it('refuses to guess speeds', () => {
  expect(() => clusterOf([node('ben', 0)], [], 'localhost:1')).toThrow('no worker has measured its speed');
});
