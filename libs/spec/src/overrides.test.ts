import { expect, it } from 'vitest';
import { withOverrides } from './overrides.js';

const document = { data: 'mnist', model: 'cnn', train: { epochs: 1, batch: 64 } };

it('changes and adds fields, and leaves the rest and the original alone', () => {
  expect(withOverrides(document, { 'train.epochs': 3, 'cluster.wait': '5s', name: 'again' })).toEqual({
    data: 'mnist',
    model: 'cnn',
    train: { epochs: 3, batch: 64 },
    cluster: { wait: '5s' },
    name: 'again',
  });
  expect(document.train.epochs).toBe(1);
});

it('does not reach into a value, nor into what every object has', () => {
  expect(() => withOverrides(document, { 'model.hidden': 3 })).toThrow('model.hidden cannot be set: the job says model: "cnn"');
  expect(Object.getPrototypeOf(withOverrides(document, { '__proto__.x': 1 }))).toBe(Object.prototype);
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});
