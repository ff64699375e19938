/** Greatest magnitude of these, not a number where one is none: for one `expect` of all of them, as each takes 8 µs. */
export function greatest(values: Iterable<number>): number {
  let sofar = 0;
  for (const value of values) sofar = Math.max(sofar, Math.abs(value));
  return sofar;
}
