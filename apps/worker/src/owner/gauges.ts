/** Something of a machine that is measured. */
export interface Gauge {
  /** What is read, for people. */
  readonly source: string;
  /** Undefined: it cannot be read just now. */
  read(): Promise<number | undefined>;
}

/** Several as one; what cannot be read just now is left out, and without any of them nothing can. */
export function together(gauges: readonly Gauge[], combine: (values: readonly number[]) => number): Gauge {
  return {
    source: gauges.map(({ source }) => source).join(', '),
    async read() {
      const values = (await Promise.all(gauges.map((gauge) => gauge.read()))).filter((value) => value !== undefined);
      return values.length === 0 ? undefined : combine(values);
    },
  };
}
