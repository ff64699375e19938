import { formatCount } from '@longtail/core';

/** An axis: values to pixels, and where its ticks are. */
export interface Scale {
  readonly min: number;
  readonly max: number;
  readonly log: boolean;
  /** Position in [0, 1]. */
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** A linear axis from exactly `min` to `max`, with about `count` round ticks inside. */
export function linearScale(min: number, max: number, count: number, steps: readonly number[] = [1, 2, 5]): Scale {
  const span = max - min || 1;
  const step = roundStep(span / count, steps);
  const ticks: number[] = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= min + span * (1 + 1e-9); i++) ticks.push(Number((i * step).toPrecision(12)));
  return { min, max: min + span, log: false, at: (value) => (value - min) / span, ticks };
}

/** A linear axis widened to whole ticks. */
export function niceScale(min: number, max: number, count: number): Scale {
  const step = roundStep((max - min || 1) / count, [1, 2, 5]);
  return linearScale(Math.floor(min / step + 1e-9) * step, Math.ceil(max / step - 1e-9) * step, count);
}

/** A logarithmic axis widened to ticks of 1, 2 and 5 (or powers of ten when there are many). */
export function logScale(min: number, max: number): Scale {
  const all: number[] = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++)
    for (const digit of [1, 2, 5]) all.push(Number(`${digit}e${power}`));
  const from = all.findLast((tick) => tick <= min * (1 + 1e-9)) ?? all[0];
  const to = all.find((tick) => tick >= max * (1 - 1e-9)) ?? all[all.length - 1];
  const inside = all.filter((tick) => tick >= from && tick <= to);
  const ticks = inside.length > 12 ? inside.filter((tick) => /^1(e|$|0*$)|^0\.0*1$/.test(String(tick))) : inside;
  const [low, high] = [Math.log(from), Math.log(to)];
  return { min: from, max: to, log: true, at: (value) => (Math.log(Math.max(value, from / 10)) - low) / (high - low || 1), ticks };
}

/** Ticks in seconds that fall on round times. */
export function timeScale(seconds: number, count: number): Scale {
  const unit = seconds >= 2 * 3600 ? 3600 : seconds >= 120 ? 60 : 1;
  const scale = linearScale(0, Math.max(seconds, 1e-3) / unit, count, unit === 1 ? [1, 2, 5] : [1, 2, 3, 5]);
  return { min: 0, max: seconds, log: false, at: (value) => scale.at(value / unit), ticks: scale.ticks.map((tick) => tick * unit) };
}

/** `90` → `1:30`, `3700` → `1:01:40`, below two minutes `45 s`. */
export function formatClock(seconds: number, span: number): string {
  if (span < 120) return `${Number(seconds.toFixed(span < 10 ? 2 : 1))} s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 || span >= 3600 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** Counts on an axis: `20k`, `1.5M`. */
export function formatAxisCount(value: number): string {
  return formatCount(value)
    .replace(/(\.\d*?)0+(?=\D|$)/, '$1')
    .replace(/\.(?=\D|$)/, '');
}

/** Counts with thousands apart, or short when long. */
export function formatWhole(value: number): string {
  return value < 1e9
    ? Math.round(value)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, '\u202f')
    : formatCount(value);
}

/** A coordinate in tenths of a pixel. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

function roundStep(raw: number, steps: readonly number[]): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  return (steps.find((step) => step * power >= raw * (1 - 1e-9)) ?? 10) * power;
}
