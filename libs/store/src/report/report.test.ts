import type { RunEvent, StoredEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { exampleEvents } from '../testing/example-run.js';
import { renderReport } from './index.js';
import { collectRun } from './run-data.js';

const events = exampleEvents();

function stored(bodies: readonly RunEvent[]): StoredEvent[] {
  return bodies.map((body, i) => ({ seq: i + 1, timeMs: 1000 * i, body }));
}

const contribution = (fields: Partial<Extract<RunEvent, { event: 'contribution' }>>): RunEvent => ({
  event: 'contribution',
  run: 'r',
  round: 1,
  node: 'n1',
  name: 'a',
  samples: 10,
  accepted: true,
  weight: 1,
  staleness: 0,
  reason: '',
  computeMs: 400,
  elapsedMs: 400,
  sentAtMs: 1000,
  doneAtMs: 1600,
  bytesUp: 5,
  bytesDown: 7,
  ...fields,
});

test('what each worker did adds up to what was applied', () => {
  const data = collectRun(events);
  expect(data.workers.map(({ name }) => name)).toEqual(['titan', 'gamer', 'laptop', 'attic <old>']);
  const verdict = data.verdict!;
  expect(data.workers.reduce((sum, { samples }) => sum + samples, 0)).toBe(verdict.samples.applied);
  expect(data.samplesApplied).toBe(verdict.samples.applied);
  expect(data.workers.reduce((sum, { bytesUp }) => sum + bytesUp, 0)).toBe(verdict.bytes.up);
  expect(data.workers.map(({ rejected }) => rejected)).toEqual([0, 1, 1, 0]);
  expect(data.incidents.map(({ kind }) => kind)).toEqual(['rejected', 'left', 'warning', 'joined', 'rejected']);
});

test('the stages of a pipeline count the samples of their group once between them', () => {
  const stage = (node: string, stage: number): RunEvent => contribution({ node, name: node, stage: { group: 'p1', stage, stages: 2 } });
  const { workers } = collectRun(stored([stage('a', 0), stage('b', 1), contribution({ node: 'c', name: 'c' })]));
  expect(workers.map(({ name, samples, part }) => [name, samples, part])).toEqual([
    ['a', 10, 5],
    ['b', 10, 5],
    ['c', 10, 10],
  ]);
});

test('the time of a contribution is cut into transfer, computing and waiting', () => {
  const commit = events.find(({ body }) => body.event === 'commit')!.body as Extract<RunEvent, { event: 'commit' }>;
  const { workers } = collectRun(
    stored([{ event: 'waiting', run: 'r', have: 0, need: 1, reason: '' }, contribution({}), { ...commit, round: 1 }]),
  );
  expect(workers[0]).toMatchObject({ computeMs: 400, transferMs: 200, waitMs: 400, bytesUp: 5, bytesDown: 7 });
  expect(workers[0].spans[0]).toMatchObject({ sent: 1000, computeFrom: 1100, computeTo: 1500, done: 1600, roundEnd: 2000 });
});

test('says where the time went, whether the uplink is hidden, and how local steps adapt', () => {
  const steps = (round: number, a: number, b: number): RunEvent => {
    const reason = `an exchange of ${round} s is 5 % of a round`;
    return { event: 'shares', run: 'r', round, shares: { n1: a, n2: b }, unit: 'local steps', reason };
  };
  const slow = { receiveMs: 100, encodeMs: 20, sendMs: 500, waitMs: 0 };
  const fast = { receiveMs: 50, encodeMs: 20, sendMs: 10, waitMs: 540 };
  const bodies = [
    steps(1, 10, 4),
    contribution({ exchange: slow, bytesUp: 1000, bytesSaved: 3000 }),
    contribution({ node: 'n2', name: 'b', samples: 4, exchange: fast }),
    steps(2, 81, 30),
  ];
  const { workers, localSteps } = collectRun(stored(bodies));
  expect(workers.map(({ sends }) => sends.map(({ value }) => value))).toEqual([[0.5], [0.01]]);
  expect(workers[0].spans[0]).toMatchObject({ computeFrom: 1100, computeTo: 1500 });
  expect(localSteps.map(({ name, points }) => [name, points.map(({ value }) => value)])).toEqual([
    ['a', [10, 81]],
    ['b', [4, 30]],
  ]);
  const page = renderReport(stored(bodies));
  expect(page).toContain('<h2>Links</h2>');
  expect(page).toContain('not hidden, 50.0 % of its time');
  expect(page).toContain('>hidden, 1.0 % of its time');
  expect(page).toContain('2.9 KiB of 3.9 KiB');
  expect(page).toContain('Local steps at the end: an exchange of 2 s is 5 % of a round.');
  expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
  expect(renderReport(events)).not.toContain('<h2>Links</h2>');
});

test('a node that comes back goes on in its row; two of one name have their own', () => {
  const joined = (node: string): RunEvent => ({ event: 'node_joined', node, name: 'a', engine: 'cpu', device: '', throttle: 1 });
  const left: RunEvent = { event: 'node_left', node: 'n1', name: 'a', reason: 'gone' };
  const names = (bodies: RunEvent[]): string[] => collectRun(stored(bodies)).workers.map(({ name }) => name);
  const work = [contribution({}), contribution({ node: 'n2' })];
  expect(names([joined('n1'), contribution({}), left, joined('n2'), contribution({ node: 'n2' })])).toEqual(['a']);
  expect(names([joined('n1'), joined('n2'), ...work])).toEqual(['a', 'a (n2)']);
  expect(names(work)).toEqual(['a', 'a (n2)']);
});

test('the page is whole, loads nothing and escapes the names of strangers', () => {
  const page = renderReport(events);
  expect(page).toContain('<h1>MNIST demo</h1>');
  expect(page).toContain('99.03 %');
  expect(page).toContain('180\u202f000');
  expect(page).toContain('attic &#60;old&#62;');
  expect(page).not.toContain('<old>');
  expect(page).not.toMatch(/https?:\/\/|\bsrc=|<link|@import|url\((?!#)/);
  expect(page.match(/<figure/g)).toHaveLength(7);
  expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
  expect(renderReport(events)).toBe(page);
});

test('a long run gives a page hardly larger', () => {
  expect(renderReport(exampleEvents({ epochs: 30 })).length).toBeLessThan(500_000);
});

test.each([
  ['nothing', []],
  ['only a submission', events.slice(0, 1)],
  ['one round', events.slice(0, events.findIndex(({ body }) => body.event === 'commit') + 1)],
  ['half a run', events.slice(0, events.length >> 1)],
])('a log with %s gives a page', (_, some) => {
  const page = renderReport(some);
  expect(page).toContain('not finished');
  expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
});

test('a diverged loss, null in the log, is a gap', () => {
  const diverged = events.map((event) =>
    event.body.event === 'commit' && event.body.round > 100
      ? { ...event, body: { ...event.body, loss: null as unknown as number, accuracy: NaN } }
      : event,
  );
  expect(collectRun(diverged).trainLoss).toHaveLength(100);
  expect(renderReport(diverged)).not.toMatch(/NaN|Infinity/);
});

test('a cancelled and a failed run say so', () => {
  expect(renderReport(exampleEvents({ epochs: 0.1, status: 'cancelled' }))).toContain('cancelled by Ctrl-C');
  expect(renderReport(exampleEvents({ epochs: 0.1, status: 'failed' }))).toMatch(/class="status failed">failed/);
});

test('what sync: auto chose stands in place of what the job says', () => {
  const choice = { strategy: 'bsp', codec: 'int8', downCodec: 'int8', computeMs: 900, exchanges: [], reason: 'bsp, int8: one exchange of 3 ms' } as const;
  expect(renderReport([...events, ...stored([{ event: 'sync', run: 'r', ...choice }])])).toContain('AUTO · bsp, int8: one exchange of 3 ms · deadline');
});
