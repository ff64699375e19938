import type * as Plot from '@observablehq/plot';
import { html, Markup } from '@longtail/core';
import { drawLegend, type Legend } from './legend.js';
import { colour, inLightColours } from './palette.js';
import { drawPlot, FONT_SIZE, WIDTH } from './plot.js';
import { fit, wrap } from './text.js';

/** A finished picture. */
export interface Figure {
  /** Of its file, without the ending. */
  readonly name: string;
  readonly title: string;
  /** Pixels. */
  readonly height: number;
  /** What is inside of the SVG element. */
  readonly body: Markup;
}

/** Pixels round a picture that stands alone. */
const EDGE = 12;
const TITLE_SIZE = 15;

/** A plot under its title, a note and a legend, all of them in the picture. */
export function figure(parts: {
  readonly name: string;
  readonly title: string;
  readonly note?: string | undefined;
  readonly legend?: Legend;
  readonly height: number;
  readonly plot: Plot.PlotOptions;
}): Figure {
  const { name, title, note = '', legend, height, plot } = parts;
  const notes = wrap(note, WIDTH);
  const legendTop = 24 + notes.length * 15 + 6;
  const plotTop = legendTop + (legend === undefined ? 0 : legend.height + 6);
  const body = html`<text x="0" y="15" text-anchor="start" font-size="${TITLE_SIZE}" font-weight="600"
      >${fit(title, (WIDTH * FONT_SIZE) / TITLE_SIZE)}</text
    >${notes.map((line, i) => html`<text x="0" y="${33 + 15 * i}" text-anchor="start" fill="${colour('muted')}">${line}</text>`)}${legend !== undefined && html`<g transform="translate(0,${legendTop})">${drawLegend(legend)}</g>`}<g
      transform="translate(0,${plotTop})"
      >${new Markup(drawPlot({ height, ...plot }))}</g
    >`;
  return { name, title, height: plotTop + height, body };
}

/** For the page, whose style sheet says what the colours are. */
export function inline(figure: Figure): Markup {
  return svg(figure, 0, html``);
}

/** For a paper: on white, in the light colours, needing nothing else. */
export function standAlone(figure: Figure): string {
  const paper = html`<rect x="${-EDGE}" y="${-EDGE}" width="100%" height="100%" fill="${colour('card')}" />`;
  return `${inLightColours(svg(figure, EDGE, paper).text)}\n`;
}

function svg({ title, height, body }: Figure, edge: number, behind: Markup): Markup {
  const [width, total] = [WIDTH + 2 * edge, height + 2 * edge];
  const { text } = html`<svg
    xmlns="http://www.w3.org/2000/svg"
    viewBox="${-edge} ${-edge} ${width} ${total}"
    width="${width}"
    height="${total}"
    role="img"
    aria-label="${title}"
    font-family="sans-serif"
    font-size="${FONT_SIZE}"
    text-anchor="middle"
    fill="${colour('text')}"
  >
    ${behind}${body}
  </svg>`;
  // XML has no place for them, and nobody sees them.
  return new Markup(text.replace(/[\0-\x08\v\f\x0e-\x1f]/g, '\ufffd'));
}
