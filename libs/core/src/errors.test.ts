import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EXIT_CODES, LongtailError, nearestName } from './errors.js';

test('an error crosses a process boundary whole', () => {
  const error = new LongtailError('no such file', { code: 'missing-file', hint: 'check the path', where: 'job.yaml:3:1 data.path' });
  const copy = LongtailError.fromWire(JSON.parse(JSON.stringify(error.toWire())));
  expect([copy.message, copy.code, copy.hint, copy.where, copy.exitCode]).toEqual([
    'no such file',
    'missing-file',
    'check the path',
    'job.yaml:3:1 data.path',
    EXIT_CODES['missing-file'],
  ]);
});

test('a code from a newer peer becomes internal instead of passing through', () => {
  expect(LongtailError.fromWire({ code: 'toString', message: 'm', hint: '', where: '' }).code).toBe('internal');
});

test('any thrown value becomes a LongtailError that keeps its cause', () => {
  const cause = new TypeError('x is not a function');
  const error = LongtailError.from(cause);
  expect([error.code, error.message, error.cause]).toEqual(['internal', 'x is not a function', cause]);
  expect(LongtailError.from(error)).toBe(error);
});

test('nearestName finds a misspelt name and suggests nothing for a stranger', () => {
  const names = ['adam', 'adamw', 'sgd'];
  expect(nearestName('adma', names)).toBe('adam');
  expect(nearestName('AdamW', names)).toBe('adamw');
  expect(nearestName('transformer', names)).toBeUndefined();
});

test('nearestName returns a name that is there', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1 }), fc.nat(), (names, pick) => {
      const name = names[pick % names.length]!;
      expect(nearestName(name, names)?.toLowerCase()).toBe(name.toLowerCase());
    }),
  );
});
