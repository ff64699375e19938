import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { NO_COLORS } from './colors.js';
import { renderTable } from './table.js';

test('columns are as wide as what is widest in them, whatever its colours and signs', () => {
  const colors = picocolors.createColors(true);
  const rows = [
    ['a', colors.green('ready'), '7'],
    ['ノード', '–', '1.2k'],
  ];
  expect(renderTable(['node', 'state', 'samples'], rows, NO_COLORS, 2)).toBe(
    ['node    state  samples', `a       ${colors.green('ready')}        7`, 'ノード  –         1.2k'].join('\n'),
  );
});

test('nothing stands behind the last column', () => {
  expect(renderTable(['a', 'long heading'], [['1', '']], NO_COLORS)).toBe('a  long heading\n1');
});

test('a fleet of thousands fits into it', () => {
  const rows = Array.from({ length: 5000 }, (_, i) => Array.from({ length: 12 }, (_, column) => `${i}-${column}`));
  const lines = renderTable(Array.from({ length: 12 }, () => 'heading'), rows, NO_COLORS).split('\n');
  expect([lines.length, lines.at(-1)]).toEqual([5001, Array.from({ length: 12 }, (_, column) => `4999-${column}`.padEnd(7)).join('  ').trimEnd()]);
});
