import { expect, test } from 'vitest';
import { catalogueLines } from './catalogue.js';
import { NO_COLORS } from './colors.js';

test('every device has its figures, and every class of links its rates', () => {
  const lines = catalogueLines(NO_COLORS);
  const [devices, links] = [lines.slice(1, lines.indexOf('')), lines.slice(lines.indexOf('') + 2)];
  expect(devices.length).toBeGreaterThanOrEqual(40);
  for (const line of devices) expect(line).toMatch(/^[A-Z][\w ]+?( +[\d.]+){5} +(\$\d+|–)$/);
  expect(devices.find((line) => line.startsWith('RTX 4090'))).toMatch(/^RTX 4090 +82\.6 +165 +24 +1008 +450 +\$1599$/);
  expect(links.find((line) => line.startsWith('dsl'))).toMatch(/^dsl +8 Mbit\/s +48 Mbit\/s +35 ms$/);
});
