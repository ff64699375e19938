/**
 * Requirements of an extra from a wheel's METADATA: `Requires-Dist: NAME SPEC; … extra == "EXTRA"` (PEP 508). Other
 * markers in the line are taken as met: the caller asks only on the one platform that an extra is for.
 *
 * @returns what pip takes as arguments, such as `nvidia-cudnn-cu12<10.0,>=9.3.0.75`.
 */
export function requirementsOfExtra(metadata: string, extra: string): string[] {
  const [headers = ''] = metadata.split(/\r?\n\r?\n/, 1);
  return headers
    .split(/\r?\n/)
    .map((line) => /^Requires-Dist:\s*([^;]+);(.*)$/.exec(line))
    .filter((match) => match !== null && extrasOf(match[2]!).includes(extra))
    .map((match) => match![1]!.replace(/[\s()]/g, ''));
}

function extrasOf(marker: string): string[] {
  return [...marker.matchAll(/\bextra\s*==\s*["']([^"']+)["']/g)].map((match) => match[1]!);
}
