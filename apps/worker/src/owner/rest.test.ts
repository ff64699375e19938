import { parseNodeFile, type OwnerLimits } from '@longtail/spec';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { restFor, type Readings, type Strain } from './rest.js';

const calm: Readings = { day: 1, minute: 720, idleMs: 1e9, celsius: 40, watts: 50 };

/** The reasons of looks one after the other, a minute apart unless a look says when. */
function looks(limits: OwnerLimits, readings: readonly (Partial<Readings> & { readonly atMs?: number })[]): readonly string[] {
  let strain: Strain = {};
  return readings.map(({ atMs, ...changes }, i) => {
    const rest = restFor(limits, { ...calm, ...changes }, strain, atMs ?? 60_000 * i);
    strain = rest.strain;
    return rest.reason;
  });
}

test('works within its hours', () => {
  const limits = parseNodeFile('hours: [22:00-07:00, sat 12:00-14:00]', 'node.yaml');
  expect(looks(limits, [{ minute: 720 }, { minute: 1380 }, { minute: 419 }, { day: 6, minute: 720 }])).toEqual([
    'outside of its hours (22:00-07:00, sat 12:00-14:00)',
    '',
    '',
    '',
  ]);
});

test('works once nobody has used the machine for long enough', () => {
  const reason = 'somebody uses the machine (it works after 5 min 0 s without)';
  expect(looks({ idleMs: 300_000 }, [{ idleMs: 0 }, { idleMs: 299_999 }, { idleMs: 300_000 }, { idleMs: 10 }])).toEqual([reason, reason, '', reason]);
});

test('rests when it is too hot until it is cooler by 5 °C, and says one thing all the time', () => {
  const reason = 'too hot: 84 °C, its owner allows 80 °C';
  expect(looks({ celsius: 80 }, [{ celsius: 80 }, { celsius: 84 }, { celsius: 79 }, { celsius: 76 }, { celsius: 75 }, { celsius: 79 }])).toEqual(['', reason, reason, reason, '', '']);
});

test('rests for a minute when it draws too much: what it draws at rest says nothing', () => {
  const reason = 'it draws 240 W, its owner allows 200 W';
  const at = (seconds: number, watts: number) => ({ atMs: 1000 * seconds, watts });
  expect(looks({ watts: 200 }, [at(0, 200), at(3, 240), at(6, 30), at(62, 30), at(63, 30), at(66, 220)])).toEqual(['', reason, reason, reason, '', 'it draws 220 W, its owner allows 200 W']);
});

test('what cannot be read any more is no permission', () => {
  const blind = { idleMs: undefined, celsius: undefined, watts: undefined };
  expect(looks({ celsius: 80 }, [blind])).toEqual(['its temperature cannot be read']);
  expect(looks({ watts: 80 }, [blind])).toEqual(['its power cannot be read']);
  expect(looks({ idleMs: 1000 }, [blind])).toEqual(['nobody tells whether the machine is used']);
  expect(looks({}, [blind])).toEqual(['']);
});

test('whatever is read, it works within all of its limits and rests beyond any', () => {
  const limits: OwnerLimits = { idleMs: 60_000, celsius: 80, watts: 200 };
  const reading = fc.record({ idleMs: fc.nat(120_000), celsius: fc.integer({ min: 20, max: 110 }), watts: fc.nat(400) });
  fc.assert(
    fc.property(fc.array(reading, { minLength: 1 }), (readings) => {
      looks(limits, readings).forEach((reason, i) => {
        const { idleMs, celsius, watts } = readings[i]!;
        if (idleMs < 60_000 || celsius > 80 || watts > 200) expect(reason).not.toBe('');
        else if (celsius <= 75 && (i === 0 || readings[i - 1]!.watts <= 200)) expect(reason).toBe('');
      });
    }),
  );
});
