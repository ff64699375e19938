/** Pixels, y down. */
interface Point {
  readonly x: number;
  readonly y: number;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const HEIGHT = 14;
const GAP = 8;

/**
 * For each curve where its name goes beside its last point, as the offset of the text's left end; undefined where every place would lie on an
 * obstacle, on another name or outside of `frame`: the legend has it then.
 * @param widths - of the names, in pixels
 */
export function placeLabels(
  widths: readonly number[],
  curves: readonly (readonly Point[])[],
  obstacles: readonly (readonly Point[])[],
  frame: Box,
): readonly ({ dx: number; dy: number } | undefined)[] {
  const placed: Box[] = [];
  return curves.map((points, i) => {
    const end = points.at(-1);
    if (end === undefined) return undefined;
    const before = -widths[i] - GAP;
    const places = [
      { dx: GAP, dy: 0 },
      { dx: before, dy: HEIGHT },
      { dx: before, dy: -HEIGHT },
    ];
    return places.find(({ dx, dy }) => {
      const box = { left: end.x + dx, right: end.x + dx + widths[i], top: end.y + dy - HEIGHT / 2, bottom: end.y + dy + HEIGHT / 2 };
      const inside = box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
      if (!inside || placed.some((other) => overlap(box, other)) || obstacles.some((line) => crosses(line, box))) return false;
      placed.push(box);
      return true;
    });
  });
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Each segment is looked at every few pixels. */
function crosses(curve: readonly Point[], box: Box): boolean {
  return curve.some((to, i) => {
    const from = curve[Math.max(0, i - 1)];
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / 4));
    return Array.from({ length: steps }, (_, k) => (k + 1) / steps).some((part) => {
      const [x, y] = [from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part];
      return x > box.left && x < box.right && y > box.top && y < box.bottom;
    });
  });
}
