import { expect, test } from 'vitest';
import type { Compared, PlanComparison } from '../comparison/comparison.js';
import { planTable } from './plan-table.js';

const of = (planned: number, measured: number): Compared => ({ planned, measured });

test('a row a device, with all blocks that it holds, and one for its exchange', () => {
  const device = {
    node: 'n1',
    name: 'attic <old>',
    blocks: [['embed', 'block1'], ['head', 'head']],
    passMs: of(20, 30),
    computeMs: of(200, 300),
    utilisation: of(0.8, 0.6),
    memoryBytes: of(2 ** 20, NaN),
    bytesUp: of(1024, 1024),
    bytesDown: of(1024, 1024),
    exchange: { receiveMs: of(8, 16), encodeMs: of(NaN, 1), sendMs: of(30, 90), waitMs: of(0, 5), sends: 0.3 },
  };
  const comparison = { groups: [{ number: 1, stages: [[device]] }], roundMs: of(250, 500), rounds: 20, deviation: { sentence: 'Slower.' } } as unknown as PlanComparison;
  const { text } = planTable(comparison);
  expect(text).toContain('<td>embed – block1, head</td>');
  expect(text).toContain('1.0 MiB → –');
  expect(text).toContain('<td class="n">– → 1 ms</td>');
  expect(text).toContain('not hidden, 30.0 % of its time');
  expect(text).not.toMatch(/NaN|undefined|<old>/);
});
