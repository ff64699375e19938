import { expect, test } from 'vitest';
import { memory, room } from './doctor.js';

test('little memory and little room are worth knowing, not a problem: doctor says that jobs can run', () => {
  expect(memory(8e9, 16e9)).toMatchObject({ state: 'ok', fix: undefined });
  expect(memory(1e9, 16e9)).toMatchObject({ state: 'note', text: '954 MiB free of 14.9 GiB', fix: expect.stringContaining('End other programs') });
  expect(room('/runs', 9e9)).toMatchObject({ state: 'ok', text: '8.4 GiB free at /runs' });
  expect(room('/runs', 0)).toMatchObject({ state: 'note', fix: expect.stringContaining('Free some space') });
});
