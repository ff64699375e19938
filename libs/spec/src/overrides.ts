import { LongtailError } from '@longtail/core';

/** Fields of a job, named like `train.epochs`, and what they are instead. */
export type Overrides = Readonly<Record<string, unknown>>;

/** A job file's content with other values at some fields. LongtailError `usage` for a field within a value. */
export function withOverrides(document: unknown, overrides: Overrides): unknown {
  const changed = structuredClone(document) as Record<string, unknown>;
  for (const [field, value] of Object.entries(overrides)) {
    const path = field.split('.');
    let at = changed;
    for (const [i, name] of path.slice(0, -1).entries()) {
      const next = Object.hasOwn(at, name) ? at[name] : undefined;
      if (next !== undefined && (typeof next !== 'object' || next === null)) {
        const outer = path.slice(0, i + 1).join('.');
        throw new LongtailError(`${field} cannot be set: the job says ${outer}: ${JSON.stringify(next)}`, {
          code: 'usage',
          where: field,
          hint: `Set ${outer} as a whole, as JSON.`,
        });
      }
      const inner = (next ?? {}) as Record<string, unknown>;
      Object.defineProperty(at, name, { value: inner, enumerable: true, writable: true, configurable: true });
      at = inner;
    }
    Object.defineProperty(at, path.at(-1)!, { value, enumerable: true, writable: true, configurable: true });
  }
  return changed;
}
