import { FONT_SIZE } from './plot.js';

/** Of a capital letter and a small one together, about. */
const CHARACTER = 0.54 * FONT_SIZE;

/** Pixels that a text takes, about: nothing can be measured here, and the reader's font is not known. */
export function textWidth(text: string): number {
  return text.length * CHARACTER;
}

/** As much of a text as fits, with an ellipsis for the rest. */
export function fit(text: string, pixels: number): string {
  const most = charactersIn(pixels);
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`;
}

/** The same of names that are told apart: where their beginnings are equal, the ellipsis stands before the word that those which are too long differ in. */
export function fitNames(names: readonly string[], pixels: number): string[] {
  const begun = names.map((name) => fit(name, pixels));
  if (new Set(begun).size === new Set(names).size) return begun;
  const most = charactersIn(pixels);
  const long = names.filter((name) => name.length > most);
  const same = long.reduce(commonStart);
  const differ = same.lastIndexOf(' ') + 1;
  const head = Math.floor((most - 1) / 3);
  return names.map((name) => {
    if (name.length <= most) return name;
    const tail = name.slice(Math.min(differ, name.length + head + 1 - most));
    return `${name.slice(0, head).trimEnd()}…${fit(tail, pixels - (head + 1) * CHARACTER)}`;
  });
}

function commonStart(a: string, b: string): string {
  let end = 0;
  while (end < a.length && a[end] === b[end]) end++;
  return a.slice(0, end);
}

function charactersIn(pixels: number): number {
  return Math.floor(pixels / CHARACTER + 1e-6);
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
