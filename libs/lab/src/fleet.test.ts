import { parseScenarioFile } from '@longtail/spec';
import { expect, test } from 'vitest';
import { drawFleet } from './fleet.js';

const fleetOf = (machines: string) => {
  const { fleet } = parseScenarioFile(`job: {data: mnist, model: cnn}\narms: [{}]\nfleet: {machines: ${machines}}`, 'scenario.yaml', { resolve: (path) => path, read: () => '' });
  return drawFleet(fleet, { seed: 1, flopsPerSample: 1e6, untilMs: 1000, stays: () => new Map() });
};
const namesOf = (machines: string) => fleetOf(machines).machines.map(({ bench }) => bench.name);

test('machines of one name are numbered, past what another one is called', () => {
  expect(namesOf('[{gpu: M1}, {gpu: RTX 3060, count: 2}, {samplesPerSecond: 3}]')).toEqual(['M1', 'RTX 3060 1', 'RTX 3060 2', 'machine']);
  expect(namesOf('[{gpu: M1, count: 2}, {gpu: M1, count: 1}]')).toEqual(['M1 1', 'M1 2', 'M1 3']);
  expect(namesOf('[{gpu: M1, name: a, count: 3}, {gpu: M1, name: a 2}]')).toEqual(['a 1', 'a 3', 'a 4', 'a 2']);
});

test('machines of a LAN reach each other as it says, or at 1 Gbit/s', () => {
  expect(fleetOf('[{gpu: M1, lan: toString}, {gpu: V100, lan: toString}]').peers).toEqual([{ between: ['M1', 'V100'], bitsPerSecond: 1e9, roundTripMs: 1, messageMs: 0.5 }]);
  const slow = fleetOf('[{gpu: M1, lan: a}, {gpu: V100, lan: a}, {gpu: T4, lan: b}], lans: {a: {rate: 100Mbit, rtt: 4ms}}');
  expect(slow.peers).toEqual([{ between: ['M1', 'V100'], bitsPerSecond: 100e6, roundTripMs: 4, messageMs: 2 }]);
});

test('a machine is planned with the overhead of its passes, of stages and of whole models', () => {
  const [usual, slow] = fleetOf('[{gpu: M1}, {gpu: M1, overhead: 5ms}]').machines;
  expect([usual!.device, usual!.worker]).toMatchObject([{ handOverMs: 1, callMs: 1 }, { overheadMs: 1 }]);
  expect([slow!.device, slow!.worker]).toMatchObject([{ handOverMs: 5, callMs: 5 }, { overheadMs: 5 }]);
});
