import { LongtailError } from '@longtail/core';
import type { z } from 'zod';

export interface Problem {
  /** Keys from the top of the file to the field. */
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** One problem an unknown key, so that each gets its own line and place. */
export function problemsOf(error: z.ZodError): readonly Problem[] {
  return error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.message.split('\n').map((message, i) => ({ path: [...issue.path, issue.keys[i]!], message }))
      : [{ path: issue.path, message: issue.message }],
  );
}

/** `['model', 'hidden', 1]` → `model.hidden[1]`. */
export function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (name, key) => (typeof key === 'number' ? `${name}[${key}]` : name ? `${name}.${String(key)}` : String(key)),
    '',
  );
}

/** The error for a file that does not hold, one line a problem. */
export function invalidFile(subject: string, lines: readonly string[], schemaCommand: string): LongtailError {
  const count = lines.length === 1 ? 'a problem' : `${lines.length} problems`;
  return new LongtailError(`${subject} has ${count}\n${lines.map((line) => `  ${line}`).join('\n')}`, {
    code: 'invalid-file',
    hint: `\`${schemaCommand}\` prints every field with its meaning`,
  });
}
