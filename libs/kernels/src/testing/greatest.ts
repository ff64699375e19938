/** Greatest magnitude of these, not a number where one is none: one `expect` for all of them, as each takes 20 µs. */
export function greatest(values: Iterable<number>): number {
  let sofar = 0;
  for (const value of values) sofar = Math.max(sofar, Math.abs(value));
  return sofar;
}
