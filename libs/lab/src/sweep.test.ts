import { expect, test } from 'vitest';
import { parseSweep, turned } from './sweep.js';
import { scenario } from './testing/scenario.js';

test('a range takes steps that are as many times as large; a list is a list', () => {
  expect(parseSweep('link.up=5mbit..80mbit')).toEqual({ knob: 'link.up', values: ['5mbit', '10mbit', '20mbit', '40mbit', '80mbit'] });
  expect(parseSweep('sync.localSteps=1..1000/4')).toEqual({ knob: 'sync.localSteps', values: ['1', '10', '100', '1000'] });
  expect(parseSweep('link.rtt=5ms, 80ms')).toEqual({ knob: 'link.rtt', values: ['5ms', '80ms'] });
});

test.each([
  ['link.up', 'names no knob and its values'],
  ['link.up=5mbit..1gbit', 'have different units'],
  ['link.up=50mbit..10mbit', 'is no range from a number above 0 to a larger one'],
])('%j', (text, expected) => {
  expect(() => parseSweep(text)).toThrow(expected);
});

test('a knob turns the links of all machines, or a field of every job', () => {
  const before = scenario('[{strategy: diloco}, {strategy: bsp}]');
  expect(turned(before, 'link.up', '5mbit').fleet.machines.map(({ link }) => link.up)).toEqual([5e6, 5e6]);
  expect(turned(before, 'server.down', '1gbit').fleet.server).toEqual({ down: 1e9 });
  const { arms } = turned(before, 'sync.localSteps', '7');
  expect(arms[0]!.job.sync).toEqual({ strategy: 'diloco', localSteps: 7 });
  expect(arms[1]!.refusal).toContain('sync.localSteps: is for the strategies');
  expect(() => turned(before, 'link.rtt', 'soon')).toThrow('link.rtt cannot be "soon"');
});
