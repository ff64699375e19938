import { z } from 'zod';
import { SHORTHAND_NAMES } from './fields.js';
import { fleetFileSchema } from './fleet-file.js';
import { jobFileSchema } from './job-file.js';
import { nodeFileSchema } from './node-file.js';
import { scenarioFileSchema } from './scenario-file.js';

/** The job file as JSON Schema (draft 2020-12): editors complete and check job files with it. */
export function jobSchema(): Readonly<Record<string, unknown>> {
  // Short forms hide from zod that these two have to be there.
  return { ...describe(jobFileSchema), title: 'Longtail job', required: ['data', 'model'] };
}

/** The fleet file as JSON Schema (draft 2020-12). */
export function fleetSchema(): Readonly<Record<string, unknown>> {
  return { ...describe(fleetFileSchema), title: 'Longtail fleet', required: ['machines'] };
}

/** The node file as JSON Schema (draft 2020-12). */
export function nodeSchema(): Readonly<Record<string, unknown>> {
  return { ...describe(nodeFileSchema), title: 'Longtail node' };
}

/** The scenario file as JSON Schema (draft 2020-12). */
export function scenarioSchema(): Readonly<Record<string, unknown>> {
  const schema = describe(scenarioFileSchema) as { readonly properties: Readonly<Record<string, object>> };
  const job = { ...schema.properties['job'], anyOf: [{ type: 'string' }, jobSchema()] };
  return { ...schema, properties: { ...schema.properties, job }, title: 'Longtail scenario', required: ['job', 'fleet', 'arms'] };
}

function describe(schema: z.ZodType): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      const names = jsonSchema[SHORTHAND_NAMES];
      if (names === undefined) return;
      delete jsonSchema[SHORTHAND_NAMES];
      const { oneOf, description, default: standard, ...alone } = jsonSchema;
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
      const shared = Object.fromEntries(Object.entries({ description, default: standard }).filter(([, value]) => value !== undefined));
      Object.assign(jsonSchema, oneOf === undefined ? {} : alone, shared, {
        anyOf: [{ type: 'string', enum: names, description: 'The name alone: every other field at its default' }, ...(oneOf ?? [alone])],
      });
    },
  });
}
