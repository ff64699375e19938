import { expect, test } from 'vitest';
import { Pauses } from './pauses.js';

test('a node works when nobody has a reason against it; who watches hears of changes only', () => {
  const pauses = new Pauses();
  const heard: string[] = [];
  const unwatch = pauses.watch(() => heard.push(pauses.paused));
  pauses.set('limits', 'too hot');
  pauses.set('limits', 'too hot');
  pauses.set('owner', 'a film');
  pauses.set('limits', '');
  pauses.set('owner', '');
  unwatch();
  pauses.set('owner', 'another film');
  expect(heard).toEqual(['too hot', 'a film', '']);
});
