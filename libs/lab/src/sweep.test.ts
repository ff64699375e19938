import { expect, test } from 'vitest';
import { parseSweep, settingsOf, turned } from './sweep.js';
import { scenario } from './testing/scenario.js';

test('a range takes steps that are as many times as large; a list is a list', () => {
  expect(parseSweep('link.up=5mbit..80mbit')).toEqual({ knob: 'link.up', values: ['5mbit', '10mbit', '20mbit', '40mbit', '80mbit'] });
  expect(parseSweep('sync.localSteps=1..1000/4')).toEqual({ knob: 'sync.localSteps', values: ['1', '10', '100', '1000'] });
  expect(parseSweep('sync.localSteps=10..200').values).toEqual(['10', '21', '45', '95', '200']);
  expect(parseSweep('train.batch=1..3').values).toEqual(['1', '2', '3']);
  expect(parseSweep('train.learningRate=1e-3..0.1/3').values).toEqual(['0.001', '0.01', '0.1']);
  expect(parseSweep('link.rtt=5ms, 80ms, 5ms')).toEqual({ knob: 'link.rtt', values: ['5ms', '80ms'] });
  expect(parseSweep('link.up=5..80Mbit/2').values).toEqual(['5Mbit', '80Mbit']);
  expect(parseSweep('link.up=10mbit..1gbit/3').values).toEqual(['10mbit', '100mbit', '1000mbit']);
  expect(parseSweep('sync.grace=500ms..8s/3').values).toEqual(['500ms', '2000ms', '8000ms']);
});

test.each([
  ['link.up', 'names no knob and its values'],
  ['link.up=5mbit..10ms', 'the ends of 5mbit..10ms are not of one kind'],
  ['link.up=0mbit..1gbit', 'is no range from a number above 0 to a larger one'],
  ['link.upp=5mbit,6mbit', 'there is no knob link.upp; did you mean link.up?'],
  ['link.up=5..100', 'link.up=5..100 has no unit'],
  ['link.rtt=10,80ms', 'link.rtt=10,80ms has no unit'],
  ['server.down=1e3..1e4/3', 'server.down=1e3..1e4/3 has no unit'],
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

test('a field or values that no arm can have are wrong use, and said once; one that some can have is not', () => {
  const before = scenario('[{strategy: [ssp, bsp], sync.staleness: 3}, {strategy: diloco}]');
  expect(() => settingsOf(before, parseSweep('sync.localStep=1,2'))).toThrow(/^no arm can have sync\.localStep at any of 1, 2: the job has a problem\n {2}sync\.localStep: unknown field "localStep"; did you mean "localSteps"\?/);
  expect(settingsOf(before, parseSweep('sync.localSteps=2,3')).map(({ knob }) => knob)).toEqual(['2', '3']);
});
