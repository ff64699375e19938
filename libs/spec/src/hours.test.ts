import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isWithin, parseHours } from './hours.js';

const [SUN, MON, , , , FRI, SAT] = [0, 1, 2, 3, 4, 5, 6];
const at = (time: string): number => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
const within = (hours: string, day: number, time: string): boolean => isWithin(parseHours(hours)!, day, at(time));

it.each([
  ['22:00-07:00', MON, '23:00', true],
  ['22:00-07:00', MON, '06:59', true],
  ['22:00-07:00', MON, '07:00', false],
  ['22:00-07:00', MON, '12:00', false],
  ['9:30-17:00', SAT, '09:30', true],
  ['mon-fri 18:00-08:00', FRI, '19:00', true],
  ['mon-fri 18:00-08:00', SAT, '07:00', true], // Friday's night
  ['mon-fri 18:00-08:00', SAT, '19:00', false],
  ['mon-fri 18:00-08:00', MON, '07:00', false], // Sunday's night
  ['Sat-Sun 00:00-24:00', SUN, '23:59', true],
  ['fri-mon 00:00-24:00', SUN, '12:00', true],
  ['22:00-07:00, sat 12:00-14:00', SAT, '13:00', true],
] as const)('%s: on day %i at %s: %s', (hours, day, time, expected) => {
  expect(within(hours, day, time)).toBe(expected);
});

it.each(['', 'always', '22:00', '25:00-07:00', '22:60-07:00', '22:00-22:00', '24:00-07:00', 'xyz 22:00-07:00', '22:00-07:00,', 'mon 22-7'])('%j are no hours', (text) => {
  expect(parseHours(text)).toBeUndefined();
});

it('a window and the one that fills the rest of the day have every minute once', () => {
  const minute = fc.integer({ min: 0, max: 1439 });
  const text = (of: number): string => `${Math.floor(of / 60)}:${String(of % 60).padStart(2, '0')}`;
  fc.assert(
    fc.property(minute, minute, fc.integer({ min: 0, max: 6 }), minute, (from, to, day, now) => {
      fc.pre(from !== to);
      const [one, other] = [`${text(from)}-${text(to)}`, `${text(to)}-${text(from)}`].map((hours) => isWithin(parseHours(hours)!, day, now));
      expect(one).toBe(!other);
    }),
  );
});
