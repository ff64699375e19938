import type { BlockTiming, DataFile } from '@longtail/core';

const LEVELS = '▁▂▃▄▅▆▇█';
const EIGHTHS = ' ▏▎▍▌▋▊▉█';

/** Values as a line of small bars, newest at the right; more values than columns are averaged. What no float32 can hold is skipped. */
export function sparkline(values: readonly number[], width: number): string {
  const finite = values.filter(isFloat32);
  const columns = Math.min(width, finite.length);
  const means = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * finite.length) / columns);
    const to = Math.floor(((column + 1) * finite.length) / columns);
    return finite.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  });
  const low = Math.min(...means);
  const range = Math.max(...means) - low || 1;
  return means.map((mean) => LEVELS[Math.round(((mean - low) / range) * (LEVELS.length - 1))]).join('');
}

function isFloat32(value: number): boolean {
  return Number.isFinite(Math.fround(value));
}

/** A bar of `width` columns, `fraction` of it filled, in eighths of a column; padded with `rest`. */
export function bar(fraction: number, width: number, rest = ' '): string {
  const eighths = Math.round(Math.min(1, Math.max(0, fraction)) * width * 8);
  const full = Math.floor(eighths / 8);
  const partial = eighths % 8 === 0 ? '' : EIGHTHS[eighths % 8]!;
  return '█'.repeat(full) + partial + rest.repeat(width - full - partial.length);
}

/** `0.9855` → `98.55 %` with `digits` decimals. */
export function percent(fraction: number, digits = 0): string {
  return `${(fraction * 100).toFixed(digits)} %`;
}

/** What blocks take, forward and backward, at the largest microbatch that they were timed at. */
export function largestPass(blocks: readonly Pick<BlockTiming, 'microbatch' | 'forwardMs' | 'backwardMs'>[]): { readonly count: number; readonly microbatch: number; readonly ms: number } {
  const microbatch = Math.max(...blocks.map((block) => block.microbatch));
  const largest = blocks.filter((block) => block.microbatch === microbatch);
  return { count: largest.length, microbatch, ms: largest.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0) };
}

/** Losses span decades: four significant digits. */
export function showLoss(loss: number): string {
  return Number.isFinite(loss) ? loss.toPrecision(4) : 'not finite';
}

/** Of a job that brings code of its own, which: `; its module model.ts, sha256 3f9a0b1c22d4…`. */
export function describeModule(module: DataFile | undefined): string {
  return module === undefined ? '' : `; its module ${module.name.replace('model/', '')}, sha256 ${module.sha256.slice(0, 12)}…`;
}

/** `2026-11-26 12:15`, in this machine's time. */
export function moment(timeMs: number): string {
  const time = new Date(timeMs);
  return new Date(timeMs - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16).replace('T', ' ');
}
