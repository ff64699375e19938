import { expect, test } from 'vitest';
import { placeLabels } from './place-labels.js';

const frame = { left: 0, right: 300, top: 0, bottom: 200 };
const level = (y: number, to: number): { x: number; y: number }[] => [
  { x: 0, y },
  { x: to, y },
];

test('a name goes right of its curve where that is free, else above or below, else nowhere', () => {
  const short = level(100, 150);
  expect(placeLabels([60], [short], [short], frame)).toEqual([{ dx: 8, dy: 0 }]);
  const long = level(100, 300);
  expect(placeLabels([60], [long], [long], frame)).toEqual([{ dx: -68, dy: 14 }]);
  // Others close above and below leave no place.
  const crowded = [level(100, 300), ...[70, 80, 90, 110, 120, 130].map((y) => level(y, 300))];
  expect(placeLabels([60], crowded.slice(0, 1), crowded, frame)).toEqual([undefined]);
});

test('names keep off each other, and curves without points have none', () => {
  const [a, b] = [level(100, 150), level(104, 150)];
  const [first, second, none] = placeLabels([60, 60, 60], [a, b, []], [a, b], frame);
  expect(first).toEqual({ dx: 8, dy: 0 });
  expect(second).toEqual({ dx: -68, dy: 14 });
  expect(none).toBeUndefined();
});
