import { expect, it } from 'vitest';
import { parseNodeFile } from './node.js';

it('reads what an owner allows', () => {
  const text = `
maxMemory: 4gb
share: 50%
maxUpload: 10mbit
hours: [22:00-07:00, sat-sun 00:00-24:00]
onlyIdle: 10min
maxTemperature: 80
maxPower: 200w
`;
  expect(parseNodeFile(text, 'node.yaml')).toMatchObject({
    memoryBytes: 4e9,
    share: 0.5,
    uploadBitsPerSecond: 10e6,
    hours: [{ text: '22:00-07:00', fromMinute: 1320, toMinute: 420 }, { text: 'sat-sun 00:00-24:00', days: [6, 0] }],
    idleMs: 600_000,
    celsius: 80,
    watts: 200,
  });
  expect(parseNodeFile('onlyIdle: true', 'node.yaml').idleMs).toBe(300_000);
  expect(parseNodeFile('{ onlyIdle: false, share: 1 }', 'node.yaml')).toEqual({ share: 1 });
});

it.each([
  ['share: 150%', 'node.yaml:1:1 share: must be a part above 0 and at most 100%, like 50%, found "150%"'],
  ['maxPower: 200w\nhours: at night', 'node.yaml:2:1 hours: must be hours like 22:00-07:00 or mon-fri 18:00-08:00'],
  ['maxTemprature: 80', 'node.yaml:1:1 maxTemprature: unknown field "maxTemprature"; did you mean "maxTemperature"?'],
  ['maxTemperature: 300', 'node.yaml:1:1 maxTemperature: must be a number from 30 to 120, found 300'],
  ['onlyIdle: now', 'node.yaml:1:1 onlyIdle'],
])('%j is refused with its place', (text, problem) => {
  expect(() => parseNodeFile(text, 'node.yaml')).toThrow(expect.objectContaining({ code: 'invalid-file', message: expect.stringContaining(problem) }));
});
