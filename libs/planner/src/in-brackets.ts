interface Places {
  readonly begin: number;
  readonly end: number;
  readonly widest?: number;
}

/**
 * Goes through places in turn, weighing several as one as long as there is nothing in any of them: the more, the longer there was nothing, up to `widest`.
 * `weigh` tells of what there is in places from `from` on, before `to`, and may leave off when told false. What is found in one place goes to `found`.
 */
export function inBrackets<Found extends readonly unknown[]>(
  { begin, end, widest = Infinity }: Places,
  weigh: (from: number, to: number, tell: (...found: Found) => unknown) => void,
  found: (...found: Found) => unknown,
): void {
  for (let at = begin, width = 1; at < end;) {
    width = Math.min(width, widest, end - at);
    let any = false;
    weigh(at, at + width, (...of) => {
      any = true;
      return width > 1 ? false : found(...of);
    });
    if (any && width > 1) {
      width >>= 1;
      continue;
    }
    at += width;
    if (!any) width *= 2;
  }
}
