import { z } from 'zod';
import { describeIssue } from './fields.js';
import { problemsOf } from './problems.js';

/** A path, or what such a file holds. Checked, and left as it was written: whoever reads it reads it as such a file. */
export function fileOr(what: string, schema: z.ZodType) {
  return z.unknown().check((context) => {
    const { value } = context;
    if (typeof value === 'string' && value !== '') return;
    if (typeof value !== 'object' || value === null) {
      context.issues.push({ code: 'custom', message: `${value === undefined ? 'is required' : 'must be'}: the path of a ${what} file, or a ${what}`, input: value });
      return;
    }
    const parsed = schema.safeParse(value, { error: describeIssue });
    if (parsed.success) return;
    for (const { path, message } of problemsOf(parsed.error)) context.issues.push({ code: 'custom', message, input: value, path: [...path] });
  });
}
