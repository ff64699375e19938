import type { Job } from '@longtail/core';
import type { Hello } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { allot, census, obstacle, type Candidate, type Claimant } from './eligibility.js';

const hello = (engine: string, allowCode = false): Hello => ({
  protocol: 1,
  name: 'w',
  incarnation: 'i',
  device: { engine, description: '', memoryBytes: 0, gflops: 0, throttle: 1 },
  allowCode,
  peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: '', paused: '',
});

const job = (changes: { engine?: string; minWorkers?: number; model?: string } = {}) =>
  ({
    model: { type: changes.model ?? 'mlp' },
    cluster: { engine: changes.engine, minWorkers: changes.minWorkers ?? 1, waitMs: 0 },
  }) as unknown as Job;

const claimant = (run: string, overrides: Partial<Claimant> = {}): Claimant => ({
  run,
  job: job(),
  excluded: new Set(),
  begun: false,
  awaited: new Set(),
  ...overrides,
});
const node = (name: string, run?: string, engine = 'cpu', paused = ''): Candidate => ({ node: name, hello: { ...hello(engine), name, incarnation: `of ${name}` }, run, paused });

test('a job that names an engine gets no other; code runs only where its owner allows it', () => {
  expect(obstacle(job({ engine: 'tensorflow' }), hello('cpu'))).toMatch(/runs on cpu, the job wants tensorflow/);
  expect(obstacle(job({ model: 'module' }), hello('cpu'))).toMatch(/own code/);
  expect(obstacle(job({ model: 'module', engine: 'cpu' }), hello('cpu', true))).toBeUndefined();
});

test('a census tells mine, idle, busy, at rest, and why the others do not count', () => {
  const run = claimant('a', { job: job({ engine: 'cpu' }), excluded: new Set(['of n4']) });
  const fleet = [node('n1', 'a'), node('n2'), node('n3', 'b'), node('n4'), node('n5', undefined, 'wasm'), node('n6', undefined, 'cpu', 'too hot'), node('n7', 'a', 'cpu', 'too hot')];
  expect(census(run, fleet)).toEqual({
    mine: 2,
    idle: ['n2'],
    busy: 1,
    paused: [{ name: 'n6', reason: 'too hot' }],
    obstacles: [
      { name: 'n4', reason: 'was released from the run' },
      { name: 'n5', reason: 'runs on wasm, the job wants cpu' },
    ],
    open: true,
  });
  expect(census(run, fleet, 8).open).toBe(true);
  expect(census(run, fleet, 7).open).toBe(false);
});

test('the run submitted first takes all that fits; what it cannot use goes to the next', () => {
  const fleet = [node('n1'), node('n2', undefined, 'wasm')];
  const first = claimant('a', { job: job({ engine: 'cpu' }) });
  expect(allot([first, claimant('b')], fleet)).toEqual([
    { run: 'a', node: 'n1' },
    { run: 'b', node: 'n2' },
  ]);
});

test('a run takes nothing before it can take enough to begin; then it takes every newcomer', () => {
  const big = claimant('a', { job: job({ minWorkers: 3 }) });
  expect(allot([big, claimant('b')], [node('n1'), node('n2')])).toEqual([
    { run: 'b', node: 'n1' },
    { run: 'b', node: 'n2' },
  ]);
  expect(allot([big], [node('n1'), node('n2'), node('n3')])).toHaveLength(3);
  expect(allot([{ ...big, begun: true }], [node('n1', 'a'), node('n2')])).toEqual([{ run: 'a', node: 'n2' }]);
});

test('a run that is resumed waits until those who took part are all back', () => {
  const run = claimant('a', { awaited: new Set(['n1', 'n2']) });
  expect(allot([run], [node('n1'), node('n3')])).toEqual([]);
  expect(allot([run], [node('n1'), node('n3'), node('n2')]).map((one) => one.node)).toEqual(['n1', 'n3', 'n2']);
});
