import stringWidth from 'string-width';
import type { Colors } from './colors.js';

const GAP = '  ';

/** A table without frames; columns from `rightFrom` on are right-aligned. Cells may have colours, and take one line. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[], colors: Colors, rightFrom = headings.length): string {
  const lines = [headings.map((heading) => colors.dim(heading)), ...rows].map((cells) => cells.map((text) => ({ text, width: stringWidth(text) })));
  const widths = headings.map((_, i) => lines.reduce((most, cells) => Math.max(most, cells[i]!.width), 0));
  return lines
    .map((cells) => {
      const padded = cells.map(({ text, width }, i) => {
        const room = ' '.repeat(widths[i]! - width);
        return i < rightFrom ? text + room : room + text;
      });
      return padded.join(GAP).trimEnd();
    })
    .join('\n');
}
