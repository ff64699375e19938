import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairShare } from './fair-share.js';

describe('the fair share of senders', () => {
  it('is what comes in all over their number, however unequal they are', () => {
    const rates = fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(rates, (bytesPerMs) => {
        const fair = new FairShare();
        const senders = bytesPerMs.map(() => ({}));
        let share = 0;
        for (let atMs = 0; atMs < 1_000; atMs++) senders.forEach((sender, index) => (share = fair.arrived(sender, bytesPerMs[index]!, atMs)));
        const mean = bytesPerMs.reduce((sum, rate) => sum + rate, 0) / bytesPerMs.length;
        expect(share / mean).toBeGreaterThan(0.98);
        expect(share / mean).toBeLessThan(1.02);
      }),
    );
  });

  it('leaves all to one who sends alone, and forgets those who stopped', () => {
    const fair = new FairShare();
    const [one, other] = [{}, {}];
    expect(fair.arrived(one, 1_000, 0)).toBe(0);
    expect(fair.arrived(other, 1_000, 10)).toBeGreaterThan(0);
    expect(fair.arrived(one, 1_000, 300)).toBe(0);
  });

  it('is of what the link has carried, not of what comes from those who just begin', () => {
    const fair = new FairShare();
    const all = [{}, {}, {}, {}];
    const from = (fromMs: number, ms: number, senders: readonly object[]) => {
      let share = 0;
      for (let atMs = fromMs; atMs < fromMs + ms; atMs++) for (const sender of senders) share = fair.arrived(sender, 10, atMs);
      return share;
    };
    expect(from(0, 300, all)).toBeCloseTo(10, 0);
    expect(from(1_000, 2, all)).toBeCloseTo(7.5, 0);
    expect(from(2_000, 300, all)).toBeCloseTo(10, 0);
    // What it carried once counts for 10 s.
    expect(from(12_400, 250, all.slice(2))).toBeCloseTo(10, 0);
    expect(from(13_000, 2, all)).toBeCloseTo(3.75, 0);
  });

  it('takes no burst for a rate', () => {
    const fair = new FairShare();
    fair.arrived({}, 1_000, 0);
    expect(fair.arrived({}, 1_000, 0)).toBe(10);
  });
});
