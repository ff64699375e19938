import picocolors from 'picocolors';

export type Colors = ReturnType<typeof picocolors.createColors>;

/** NO_COLOR, FORCE_COLOR and the kind of `stream` decide. */
export function colorsFor(stream: { readonly isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): Colors {
  if (env['NO_COLOR']) return picocolors.createColors(false);
  if (env['FORCE_COLOR']) return picocolors.createColors(true);
  return picocolors.createColors(stream.isTTY === true && env['TERM'] !== 'dumb');
}

export const NO_COLORS: Colors = picocolors.createColors(false);
