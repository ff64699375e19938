import type { Plan } from '@longtail/core';
import { expect, test } from 'vitest';
import { Paces } from './paces.js';

/** Each device takes 3 ms a sample. */
const plan = (...devices: readonly string[]) =>
  ({ groups: [{ microbatch: 2, stages: devices.map((device) => ({ devices: [{ device, forwardMs: 2, backwardMs: 4 }] })) }] }) as unknown as Plan;

function observe(paces: Paces, node: string, msPerSample: number, rounds = 9): void {
  for (let round = 0; round < rounds; round++) paces.observe(node, 10, 10 * msPerSample);
}

test('a device has its pace by what it took of late, over what was planned', () => {
  const paces = new Paces();
  paces.workBy(plan('a', 'b'), []);
  expect([paces.of('a'), paces.of('b'), paces.of('c'), paces.drifted]).toEqual([1, 1, 1, false]);
  observe(paces, 'a', 6, 4);
  expect(paces.of('a'), 'a few rounds say nothing').toBe(1);
  observe(paces, 'a', 6, 5);
  expect(paces.of('a')).toBe(0.5);
  expect(paces.drifted).toBe(true);
  paces.observe('a', 10, 500);
  expect(paces.of('a'), 'nor does a single one').toBe(0.5);
});

test('what was looked at is looked at again when it changes by another fifth', () => {
  const paces = new Paces();
  paces.workBy(plan('a'), []);
  observe(paces, 'a', 6);
  paces.keep([]);
  observe(paces, 'a', 6.9);
  expect(paces.drifted).toBe(false);
  observe(paces, 'a', 3);
  expect(paces.drifted).toBe(true);
});

test('a plan that took its time has the paces that it was told, not those of when it is there', () => {
  const paces = new Paces();
  paces.workBy(plan('a'), []);
  observe(paces, 'a', 6);
  const told = [{ node: 'a', pace: paces.of('a') }];
  observe(paces, 'a', 12);
  paces.keep(told);
  expect(paces.drifted, 'it slowed down since').toBe(true);
  paces.workBy(plan('a'), told);
  expect(paces.of('a')).toBe(0.5);
});

test('a new plan takes the paces that it was made with, and remembers who has no place in it', () => {
  const paces = new Paces();
  paces.workBy(plan('a', 'b'), []);
  observe(paces, 'a', 6);
  observe(paces, 'b', 12);
  paces.workBy(plan('a'), []);
  expect([paces.of('a'), paces.of('b'), paces.drifted]).toEqual([0.5, 0.25, false]);
  observe(paces, 'b', 3);
  expect(paces.of('b')).toBe(0.25);
  observe(paces, 'a', 3); // as this plan has it: at half pace
  expect(paces.of('a')).toBe(0.5);
});
