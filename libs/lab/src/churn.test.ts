import { createRng } from '@longtail/core';
import type { TimedFault } from '@longtail/simulator';
import { parseHours } from '@longtail/spec/hours';
import { expect, test } from 'vitest';
import { presenceOf } from './churn.js';
import { scenario } from './testing/scenario.js';
import { parseTrace, tracesOf } from './trace.js';

const HOUR_MS = 3_600_000;
const context = (rest: object = {}) => ({ name: 'a', rng: createRng('churn'), begins: 'fri 20:00', untilMs: 72 * HOUR_MS, stays: () => new Map(), ...rest });
const timed = (faults: Iterable<TimedFault>) => [...faults] as readonly Extract<TimedFault, { forMs: number }>[];

test('who stays is there; who comes later comes later', () => {
  expect(presenceOf({ churn: undefined, joins: undefined }, context())).toEqual({ joinAtMs: 0, begins: true, faults: [] });
  expect(presenceOf({ churn: undefined, joins: 500 }, context())).toEqual({ joinAtMs: 500, begins: false, faults: [] });
});

test('a machine with mean times is away for its share, and never goes while it is away', () => {
  const { faults } = presenceOf({ churn: { type: 'exponential', here: 3 * HOUR_MS, away: HOUR_MS }, joins: undefined }, context({ untilMs: 20_000 * HOUR_MS }));
  const restarts = timed(faults);
  restarts.slice(1).forEach(({ atMs }, i) => expect(atMs).toBeGreaterThan(restarts[i]!.atMs + restarts[i]!.forMs));
  expect(restarts.reduce((sum, { forMs }) => sum + forMs, 0) / (20_000 * HOUR_MS)).toBeCloseTo(0.25, 1);
});

test('outside of its hours a machine rests, by the clock of the scenario', () => {
  const churn = { type: 'hours' as const, hours: parseHours('mon-fri 22:00-07:00')! };
  const { faults, begins } = presenceOf({ churn, joins: undefined }, context());
  expect(begins).toBe(false);
  // From Friday 20:00: to work at 22:00, to rest at 7:00 until Monday 22:00, which is after the end.
  expect(timed(faults).map(({ kind, atMs, forMs }) => [kind, atMs / HOUR_MS, forMs / HOUR_MS])).toEqual([
    ['pause', 0, 2],
    ['pause', 11, 61],
  ]);
});

test('a trace says when machines were here; one that it does not name never comes', () => {
  const stays = parseTrace('node,from,to\na,60,120\nb,0,10\na,0,30\n', 'trace.csv');
  const churn = { type: 'trace' as const, path: 'trace.csv' };
  expect(presenceOf({ churn, joins: undefined }, context({ stays: () => stays }))).toEqual({
    joinAtMs: 0,
    begins: true,
    faults: [
      { kind: 'restart', worker: 'a', atMs: 30_000, forMs: 30_000 },
      { kind: 'kill', worker: 'a', atMs: 120_000 },
    ],
  });
  expect(presenceOf({ churn, joins: undefined }, context({ name: 'c', stays: () => stays })).joinAtMs).toBeUndefined();
});

test('the traces of a scenario are read once each; one of a machine that there is not is refused', () => {
  const churn = (path: string) => `churn: {type: trace, path: ${path}}`;
  const { fleet } = scenario('[{}]', { fleet: `{machines: [{name: a, samplesPerSecond: 1, ${churn('one.csv')}}, {name: b, count: 2, samplesPerSecond: 1, ${churn('one.csv')}}, {name: c, samplesPerSecond: 1}]}` });
  const read: string[] = [];
  const tracesIn = (text: string) => tracesOf(fleet, (path) => (read.push(path), text));
  const text = 'node,from,to\nb 2,0,10\na,0,30\n';
  expect(Object.values(tracesIn(text))).toEqual([text]);
  expect(read).toHaveLength(1);
  expect(() => tracesIn('node,from,to\na,0,30\n\nb 22,0,10\n')).toThrow(/one\.csv:4: no machine with this trace is called "b 22"; did you mean "b 2"\?$/);
  expect(() => tracesIn('node,from,to\nc,0,30\n')).toThrow('no machine with this trace is called "c"');
});

test.each([
  ['name,from,to\n', 'trace.csv:1: the header must be node,from,to, found "name,from,to"'],
  ['node,from,to\na,0\n', 'trace.csv:2: must be a name and two times in seconds'],
  ['node,from,to\na,30,10\n', 'trace.csv:2: must be a name and two times in seconds, the later one last, found "a,30,10"'],
  ['node,from,to\na,0,30\n\na,20,40\n', 'trace.csv:4: a is here already at that time'],
])('%j', (text, expected) => {
  expect(() => parseTrace(text, 'trace.csv')).toThrow(expected);
});
