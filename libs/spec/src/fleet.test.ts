import { LongtailError } from '@longtail/core';
import { describe, expect, it } from 'vitest';
import { parseFleetFile } from './fleet.js';
import { GPUS } from './gpus.js';

const problemIn = (text: string): string => {
  try {
    parseFleetFile(text, 'fleet.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(LongtailError);
    expect((error as LongtailError).hint).toContain('longtail schema fleet');
    return (error as LongtailError).message;
  }
  return '';
};

describe('parseFleetFile', () => {
  it('makes devices of machines: peak rates times the efficiency, memory as offered, links by class', () => {
    const text = [
      'server: {up: 1Gbit, down: 1Gbit}',
      'machines:',
      '  - {gpu: RTX 4090, link: fibre, memory: 20GiB}',
      '  - {gpu: RTX 3060, count: 2, lan: office, efficiency: 0.5, link: {class: dsl, up: 12Mbit}}',
      'lans:',
      '  office: {rate: 2.5Gbit}',
    ].join('\n');
    const { devices, lans, server } = parseFleetFile(text, 'fleet.yaml');
    expect(devices[0]).toEqual({
      id: 'm1',
      name: 'RTX 4090',
      handOverMs: 1,
      callMs: 1,
      flopsPerSecond: 0.35 * 82.6e12,
      memoryBytes: 20 * 2 ** 30,
      upBitsPerSecond: 100e6,
      downBitsPerSecond: 500e6,
      roundTripMs: 15,
    });
    expect(devices[2]).toMatchObject({ id: 'm3', flopsPerSecond: 6.5e12, upBitsPerSecond: 12e6, downBitsPerSecond: 48e6 });
    expect(lans).toEqual([{ name: 'office', devices: ['m2', 'm3'], bitsPerSecond: 2.5e9, roundTripMs: 1 }]);
    expect(server).toEqual({ upBitsPerSecond: 1e9, downBitsPerSecond: 1e9 });
  });

  it.each([
    ['machines: [{gpu: RTX 4900}]', 'fleet.yaml:1:13 machines[0].gpu: unknown GPU "RTX 4900"; did you mean "RTX 4090"?'],
    ['machines: [{gpu: M1, link: fiber}]', 'machines[0].link.class: unknown class of link "fiber"; did you mean "fibre"?'],
    [
      'machines:\n  - gpu: M1\n    link: {up: -20Mbit}',
      'fleet.yaml:3:12 machines[0].link.up: must be a rate above 0, like 20Mbit or 1Gbit, found "-20Mbit"',
    ],
    ['machines: [{gpu: M1, memory: 0}]', 'machines[0].memory: must be a size above 0, like 6GiB, found 0'],
    ['machines: [{gpu: M1, count: 0}]', 'machines[0].count: must be a whole number from 1 to 100000, found 0'],
    ['machines: [{gpu: M1, efficiency: 2}]', 'machines[0].efficiency: must be a number above 0 and at most 1, found 2'],
    ['machines: []', 'machines: must not be empty'],
    ['machines: [{gpu: M1, count: 60000}, {gpu: M2 Max, count: 60000}]', 'fleet.yaml:1:1 machines: are 120000 in all, and 100000 are the most'],
    ['machines: [{gpu: M1, lan: office}]\nlans:\n  ofice: {rate: 100Mbit}', 'fleet.yaml:3:3 lans.ofice: no machine is in this LAN: theirs are office'],
    ['machines: [{gpu: M1}]\nlans: {office: {}}', 'lans.office: no machine is in this LAN'],
    ['server: lan', 'machines: is required: a list'],
  ])('%j', (text, expected) => {
    expect(problemIn(text)).toContain(expected);
  });
});

it('a LAN may be called what all objects have', () => {
  const { lans } = parseFleetFile('machines: [{gpu: M1, lan: constructor}, {gpu: M1, lan: __proto__}]', 'fleet.yaml');
  expect(lans).toEqual([
    { name: 'constructor', devices: ['m1'], bitsPerSecond: 1e9, roundTripMs: 1 },
    { name: '__proto__', devices: ['m2'], bitsPerSecond: 1e9, roundTripMs: 1 },
  ]);
});

it('the catalogue has at least forty devices, each named once and with sensible figures', () => {
  expect(GPUS.length).toBeGreaterThanOrEqual(40);
  expect(new Set(GPUS.map(({ name }) => name)).size).toBe(GPUS.length);
  for (const gpu of GPUS)
    expect(Math.min(gpu.fp32Tflops, gpu.fp16Tflops, gpu.memoryGib, gpu.gigabytesPerSecond, gpu.watts)).toBeGreaterThan(0);
});
