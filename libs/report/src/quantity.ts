/** What a figure measures, and the units that people read it in. */
export interface Quantity {
  readonly name: string;
  /** From small to large; the figures are in units of factor 1. */
  readonly units: readonly Unit[];
}

interface Unit {
  readonly name: string;
  readonly factor: number;
}

const SI = ['', 'k', 'M', 'G', 'T', 'P'];

/** In milliseconds. */
export const TIME: Quantity = {
  name: 'Time',
  units: [
    { name: 'ms', factor: 1 },
    { name: 's', factor: 1000 },
    { name: 'min', factor: 60_000 },
    { name: 'h', factor: 3_600_000 },
    { name: 'd', factor: 86_400_000 },
  ],
};

/** In bytes; multiples of a thousand, as papers and links count. */
export const BYTES: Quantity = {
  name: 'Traffic of the fleet, up and down',
  units: SI.map((prefix, i) => ({ name: `${prefix}B`, factor: 1000 ** i })),
};

/** In watt-hours. */
export const ENERGY: Quantity = { name: 'Energy', units: SI.map((prefix, i) => ({ name: `${prefix}Wh`, factor: 1000 ** i })) };

export const COUNT: Quantity = { name: 'Count', units: SI.map((name, i) => ({ name, factor: 1000 ** i })) };

/** Of the validation split. */
export const LOSS: Quantity = { name: 'Validation loss', units: [{ name: '', factor: 1 }] };

/** In samples a second. */
export const RATE: Quantity = { ...COUNT, name: 'Samples a second' };

/** `20.4 min`: three significant digits in the unit that suits. */
export function inUnits(quantity: Quantity): (value: number) => string {
  return (value) =>
    written(value, quantity, (scaled, { factor }) =>
      scaled >= 1000 || (factor === 1 && Number.isInteger(scaled)) ? scaled.toFixed(0) : scaled.toPrecision(3),
    );
}

/** `20 min`, as along an axis. */
export function tickIn(quantity: Quantity): (value: number) => string {
  return (value) => written(value, quantity, shortNumber);
}

/** One unit for values up to this one: the largest of which it holds two. */
export function unitFor(value: number, { units }: Quantity): Unit {
  return units.findLast(({ factor }) => value >= 2 * factor) ?? units[0];
}

/** Three significant digits, without zeros that say nothing. */
export function shortNumber(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** `28.5 – 29.9 min`: the unit once where both have the same. */
export function formatRange(low: number, high: number, format: (value: number) => string): string {
  const [from, to] = [format(low), format(high)];
  const unit = / .*$/.exec(from)?.[0];
  return from === to ? from : `${unit !== undefined && to.endsWith(unit) ? from.slice(0, -unit.length) : from} – ${to}`;
}

function written(value: number, { units }: Quantity, digits: (scaled: number, unit: Unit) => string): string {
  // What rounds up to the next unit is written in it.
  const unit = units.findLast(({ factor }) => value >= 0.9995 * factor) ?? units[0];
  return `${digits(value / unit.factor, unit)} ${unit.name}`.trimEnd();
}
