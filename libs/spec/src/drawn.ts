import { z } from 'zod';
import { real, size } from './fields.js';

/** A quantity of each machine: the same for all, or drawn for each from the seed. */
export type Drawn = number | { readonly from: number; readonly to: number } | { readonly median: number; readonly sigma: number };

/** `20Mbit`; `{from: 10Mbit, to: 50Mbit}`, uniform; or `{median: 20Mbit, sigma: 0.8}`, lognormal. `expected` says what a value is. */
export function drawn(expected: string, parse: (value: string | number) => number | undefined) {
  const value = size(expected, parse);
  const fields = z.strictObject({
    value: value.optional().describe('The same for all'),
    from: value.optional().describe('Uniform, from'),
    to: value.optional().describe('Uniform, to'),
    median: value.optional().describe('Lognormal'),
    sigma: real({ above: 0, max: 5 }).optional().describe('Lognormal: standard deviation of the natural logarithm'),
  });
  return z
    .preprocess((input, context) => {
      if (typeof input === 'object' && input !== null) return input;
      const alone = value.safeParse(input);
      // Whoever wrote it wrote no field `value`.
      if (!alone.success) context.issues.push({ code: 'custom', message: alone.error.issues[0]!.message, input });
      return { value: input };
    }, fields)
    .transform((given, context): Drawn => {
      const { from, to, median, sigma } = given;
      const kinds = [given.value !== undefined, from !== undefined || to !== undefined, median !== undefined || sigma !== undefined];
      if (kinds.filter(Boolean).length === 1) {
        if (given.value !== undefined) return given.value;
        if (from !== undefined && to !== undefined && from <= to) return { from, to };
        if (median !== undefined && sigma !== undefined) return { median, sigma };
      }
      context.issues.push({ code: 'custom', message: 'must be one value, or {from, to} in this order, or {median, sigma}', input: given });
      return z.NEVER;
    });
}
