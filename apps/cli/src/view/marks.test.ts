import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bar, moment, percent, showLoss, sparkline } from './marks.js';

it('draws a sparkline of any values in its width', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noDefaultInfinity: false })), fc.integer({ min: 1, max: 80 }), (values, width) => {
      const line = sparkline(values, width);
      expect(line.length).toBe(Math.min(width, values.filter((value) => Number.isFinite(Math.fround(value))).length));
      expect(line).toMatch(/^[▁▂▃▄▅▆▇█]*$/);
    }),
  );
  expect(sparkline([8, 4, 2, 1, 1], 5)).toBe('█▄▂▁▁');
});

it('draws a bar of exactly its width', () => {
  fc.assert(
    fc.property(fc.double({ min: -1, max: 2, noNaN: true }), fc.integer({ min: 1, max: 60 }), (fraction, width) => {
      expect(bar(fraction, width).length).toBe(width);
    }),
  );
  expect([bar(0, 4, '░'), bar(0.5, 4, '░'), bar(0.53, 4, '░'), bar(1, 4, '░')]).toEqual(['░░░░', '██░░', '██▏░', '████']);
});

it('shows fractions and losses', () => {
  expect([percent(0.98549, 2), percent(0.5), showLoss(0.0012345), showLoss(2.3), showLoss(NaN)]).toEqual([
    '98.55 %',
    '50 %',
    '0.001234',
    '2.300',
    'not finite',
  ]);
});

it('tells a moment in the time of this machine', () => {
  const { TZ } = process.env;
  try {
    process.env.TZ = 'America/St_Johns';
    expect(moment(Date.UTC(2026, 10, 26, 2, 15))).toBe('2026-11-25 22:45');
  } finally {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  }
});
