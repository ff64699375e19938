import { LongtailError } from '@longtail/core';
import { expect, it } from 'vitest';
import { NO_COLORS } from '../view/colors.js';
import { describeError } from './output.js';

it('says what was wrong, where, and what to do', () => {
  const error = new LongtailError('port 7077 is in use', { code: 'address-in-use', where: '127.0.0.1:7077', hint: 'Choose another.' });
  expect(describeError(error, false, NO_COLORS)).toBe('error: port 7077 is in use\nwhere: 127.0.0.1:7077\nhint:  Choose another.');
});

it('shows stacks, causes included, only when asked', () => {
  const error = new LongtailError('it broke', { code: 'engine', cause: new TypeError('deep down') });
  expect(describeError(error, false, NO_COLORS)).toBe('error: it broke');
  expect(describeError(error, true, NO_COLORS)).toMatch(/^error: it broke\nLongtailError: it broke\n +at [^]*TypeError: deep down\n +at /);
});

it('points to --debug for what nobody foresaw', () => {
  expect(describeError(new TypeError('x is undefined'), false, NO_COLORS)).toMatch(
    /^error: x is undefined\nhint: {2}run the command again with --debug/,
  );
});
