import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dynamicLocalSteps, measuredLocalSteps, measuredOverlappedSteps } from './local-steps.js';

const paces = fc.array(
  fc.record({
    stepMs: fc.double({ min: 0.1, max: 1e5, noNaN: true }),
    exchangeMs: fc.option(fc.double({ min: 0, max: 1e5, noNaN: true }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 8 },
);

test('the demo fleet: 1 : 0.6 : 0.4 : 0.25', () => {
  const groups = [1, 0.6, 0.4, 0.25].map((speed, i) => ({ node: `n${i}`, stepMs: 100 / speed, exchangeMs: 10 }));
  expect([...dynamicLocalSteps(40)(groups).steps.values()]).toEqual([40, 24, 16, 10]);
});

test('somebody takes the most steps, everybody at least one, and nobody is done much after the first', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), paces, (most, list) => {
      const groups = list.map((pace, i) => ({ node: `n${i}`, ...pace }));
      const { steps } = dynamicLocalSteps(most)(groups);
      expect(Math.max(...steps.values())).toBe(most);
      expect(Math.min(...steps.values())).toBeGreaterThanOrEqual(1);
      if (list.some(({ exchangeMs }) => exchangeMs === undefined)) return;
      const doneMs = groups.map(({ node, stepMs, exchangeMs }) => exchangeMs! + steps.get(node)! * stepMs);
      const roundMs = Math.min(...groups.map(({ stepMs, exchangeMs }) => exchangeMs! + most * stepMs));
      for (const [i, { node, stepMs }] of groups.entries()) {
        if (steps.get(node)! > 1) expect(doneMs[i]!).toBeLessThanOrEqual(roundMs * (1 + 1e-9) + 1e-6 * stepMs);
        if (steps.get(node)! < most) expect(doneMs[i]! + stepMs).toBeGreaterThan(roundMs * (1 - 1e-9));
      }
    }),
  );
});

test('measured local steps say their arithmetic: a 2 s exchange and steps of 100 ms', () => {
  const groups = [1, 0.5].map((speed, i) => ({ node: `n${i}`, stepMs: 100 / speed, exchangeMs: 2000 }));
  const { steps, reason } = measuredLocalSteps()(groups);
  expect([...steps.values()]).toEqual([380, 190]);
  expect(reason).toBe('an exchange of 2.0 s is 5 % of a round of 40 s: 380 steps of 100 ms of the fastest');
  expect(measuredLocalSteps()(groups.map((group) => ({ ...group, exchangeMs: 1e6 }))).reason).toMatch(/, at most 500$/);
  expect(measuredLocalSteps()(groups.map((group) => ({ ...group, exchangeMs: undefined })))).toMatchObject({
    steps: new Map([['n0', 10], ['n1', 5]]),
    reason: 'no exchange was measured yet',
  });
});

test.each([
  { rule: measuredLocalSteps(), fragments: 1 },
  { rule: measuredOverlappedSteps(4), fragments: 4 },
])('a run of few steps has four rounds in $fragments parts, before an exchange was measured and after', ({ rule, fragments }) => {
  for (const exchangeMs of [undefined, 2000]) {
    const groups = [1, 0.5].map((speed, i) => ({ node: `n${i}`, stepMs: 100 / speed, exchangeMs }));
    expect([...rule(groups, 36 * fragments).steps.values()]).toEqual([6, 3]);
    expect([...rule(groups, 1).steps.values()][0]).toBe(1);
  }
  expect(rule([{ node: 'a', stepMs: 100, exchangeMs: 2000 }], 40 * fragments).reason).toMatch(/, at most 10$/);
});

test('measured local steps keep every exchange within 5 % of its round, but for stragglers and the limit', () => {
  fc.assert(
    fc.property(paces, (list) => {
      const groups = list.map((pace, i) => ({ node: `n${i}`, stepMs: pace.stepMs, exchangeMs: pace.exchangeMs ?? 1 }));
      const { steps } = measuredLocalSteps()(groups);
      const most = Math.max(...steps.values());
      if (most === 500) return;
      const roundMs = Math.min(...groups.map(({ stepMs, exchangeMs }) => exchangeMs + most * stepMs));
      const sorted = groups.map(({ exchangeMs }) => exchangeMs).sort((a, b) => a - b);
      for (const { exchangeMs } of groups) {
        if (exchangeMs <= 4 * sorted[(sorted.length - 1) >> 1]!) expect(0.95 * exchangeMs).toBeLessThanOrEqual(0.05 * roundMs * (1 + 1e-9));
      }
    }),
  );
});
