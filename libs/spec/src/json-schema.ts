import { z } from 'zod';
import { SHORTHAND_NAMES } from './fields.js';
import { jobFileSchema } from './job-file.js';

/** The job file as JSON Schema (draft 2020-12): editors complete and check job files with it. */
export function jobSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(jobFileSchema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      const names = jsonSchema[SHORTHAND_NAMES];
      if (names === undefined) return;
      delete jsonSchema[SHORTHAND_NAMES];
      const { oneOf, ...rest } = jsonSchema;
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
      Object.assign(jsonSchema, rest, {
        anyOf: [{ type: 'string', enum: names, description: 'The name alone: every other field at its default' }, ...(oneOf ?? [])],
      });
    },
  });
  // Short forms hide from zod that these two have to be there.
  return { ...schema, title: 'Longtail job', required: ['data', 'model'] };
}
