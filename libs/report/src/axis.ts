import { shortNumber, tickIn, unitFor, type Quantity } from './quantity.js';
import { spread } from './spread.js';

/** One axis of a plot: a scale, and what is written along it. */
export interface Axis {
  readonly type: 'linear' | 'log';
  readonly domain: readonly [number, number];
  readonly label: string;
  readonly ticks: readonly number[];
  format(value: number): string;
}

/** Beyond this ratio between figures that are compared, the small ones need a logarithmic axis to be seen. */
const WIDE = 20;

/** From 0, or from `low` on a logarithmic scale where `ends` (all positive) are far apart. Ticks fall on round numbers of a unit. */
export function quantityAxis(quantity: Quantity, ends: readonly number[], low: number): Axis {
  const high = Math.max(...ends);
  if (low > 0 && high / Math.min(...ends) > WIDE)
    return { ...logAxis(low, high, quantity.name, tickIn(quantity)), ticks: unitTicks(quantity, low, high) };
  return linearAxis(quantity, 0, high || 1);
}

/** A linear axis in one unit, as bars and timelines need it. */
export function linearAxis(quantity: Quantity, low: number, high: number): Axis {
  const unit = unitFor(high, quantity);
  const scale = linearTicks(low / unit.factor, high / unit.factor);
  return {
    type: 'linear',
    domain: [low, high],
    label: unit.name === '' ? quantity.name : `${quantity.name} (${unit.name})`,
    ticks: scale.ticks.map((tick) => tick * unit.factor),
    format: (value) => scale.format(value / unit.factor),
  };
}

/** Beyond this ratio a loss is easier to read on a logarithmic axis. */
const WIDE_LOSS = 4;
const SAME_LOSS = 1e-9;

export function lossAxis(values: readonly number[], label: string): Axis {
  const { min: low, max: high } = spread(values)!;
  if (low > 0 && high / low > WIDE_LOSS) return logAxis(low, high, `${label} (logarithmic)`, shortNumber);
  const range = high - low;
  // Values that only rounding tells apart are as one: between two such there are no ticks.
  const room = (range > SAME_LOSS * Math.abs(high) ? range : Math.abs(high) || 1) * 0.04;
  const from = low - room < 0 && low >= 0 ? 0 : low - room;
  return { type: 'linear', domain: [from, high + room], label, ...linearTicks(from, high + room) };
}

/** Where a value lies, in pixels, as the plot will draw it. */
export function toPixels({ type, domain }: Axis, [start, end]: readonly [number, number], value: number): number {
  const [from, to, at] = type === 'log' ? [...domain, value].map(Math.log) : [...domain, value];
  return start + ((at - from) / (to - from)) * (end - start);
}

function logAxis(low: number, high: number, label: string, format: (value: number) => string): Axis {
  const [from, to] = high > low ? [low, high] : [low / 2, high * 2];
  const decades = Math.log10(to / from);
  const digits = decades > 2.5 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++)
    for (const digit of digits) ticks.push(Number(`${digit}e${power}`));
  return { type: 'log', domain: [from, to], label, ticks: ticks.filter((tick) => tick >= from && tick <= to), format };
}

/** 1, 10 and 100 of every unit, and 2 and 5 where few are in sight. */
function unitTicks({ units }: Quantity, low: number, high: number): number[] {
  const numbers = high / low > 1000 ? [1, 10, 100] : [1, 2, 5, 10, 20, 50, 100, 200, 500];
  return units.flatMap(({ factor }, i) => {
    const next = units[i + 1]?.factor ?? Infinity;
    return numbers.map((number) => number * factor).filter((tick) => tick < next && tick >= low && tick <= high);
  });
}

/** About five, with the digits that tell them apart. */
function linearTicks(low: number, high: number): Pick<Axis, 'ticks' | 'format'> {
  const raw = (high - low) / 5;
  const power = Math.floor(Math.log10(raw));
  const digit = [1, 2, 5].find((digit) => digit * 10 ** power >= raw * 0.8) ?? 10;
  const decimals = Math.min(100, Math.max(0, -power));
  const first = Math.ceil(low / (digit * 10 ** power) - 1e-9);
  const ticks: number[] = [];
  for (let i = first; ; i++) {
    const tick = Number((i * digit * 10 ** power).toFixed(decimals));
    if (tick > high) return { ticks, format: (value) => String(Number(value.toFixed(decimals))) };
    ticks.push(tick);
  }
}
