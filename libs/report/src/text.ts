import { FONT_SIZE } from './plot.js';

/** Of a capital letter and a small one together, about. */
const CHARACTER = 0.54 * FONT_SIZE;

/** Pixels that a text takes, about: nothing can be measured here, and the reader's font is not known. */
export function textWidth(text: string): number {
  return text.length * CHARACTER;
}

/** As much of a text as fits, with an ellipsis for the rest. */
export function fit(text: string, pixels: number): string {
  const most = Math.floor(pixels / CHARACTER + 1e-6);
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`;
}

/** Lines no wider than that. */
export function wrap(text: string, pixels: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter((word) => word !== '')) {
    const last = lines.at(-1);
    if (last === undefined || textWidth(`${last} ${word}`) > pixels) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
