import * as Plot from '@observablehq/plot';
import { DOMImplementation, XMLSerializer, type Element, type Node } from '@xmldom/xmldom';
import { colour } from './palette.js';

/** Pixels of every picture across: half of the page, and a column of a paper. */
export const WIDTH = 560;
export const FONT_SIZE = 12;

/** What Observable Plot draws with these options, as the inside of an SVG element: no ids, coordinates to a hundredth of a pixel. */
export function drawPlot(options: Plot.PlotOptions): string {
  const document = new DOMImplementation().createDocument('http://www.w3.org/2000/svg', 'svg');
  // The library asks its document for elements and attributes only, so that one without a browser will do.
  const drawn = Plot.plot({ width: WIDTH, ...options, style: '', document: document as never });
  const svg = drawn as unknown as Element;
  tidy(svg);
  const text = new XMLSerializer().serializeToString(svg);
  return text.slice(text.indexOf('>') + 1, text.lastIndexOf('</svg>'));
}

const COORDINATES = ['x', 'y', 'x1', 'x2', 'y1', 'y2', 'width', 'height', 'transform', 'd'];

function tidy(node: Node): void {
  if (node.nodeType !== node.ELEMENT_NODE) return;
  const element = node as Element;
  if (element.tagName === 'style') return void element.parentNode?.removeChild(element);
  // The groups' names are those of the library's marks, which mean nothing to a reader; the picture has a name as a whole.
  element.removeAttribute('aria-label');
  for (const name of ['fill', 'stroke']) if (element.getAttribute(name) === 'currentColor') element.setAttribute(name, colour('text'));
  for (const name of COORDINATES) {
    const value = element.getAttribute(name);
    if (value !== null)
      element.setAttribute(
        name,
        value.replace(/\d+\.\d{3,}(e-?\d+)?/g, (number) => String(Math.round(Number(number) * 100) / 100)),
      );
  }
  for (const child of [...element.childNodes]) tidy(child);
}
