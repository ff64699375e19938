import { describe, expect, it } from 'vitest';
import { fleetSchema, jobSchema } from './json-schema.js';

describe('jobSchema', () => {
  it('describes every field', () => {
    const undescribed: string[] = [];
    let fields = 0;
    const walk = (schema: unknown, path: string): void => {
      if (typeof schema !== 'object' || schema === null) return;
      const { properties, oneOf = [], anyOf = [] } = schema as { properties?: object; oneOf?: unknown[]; anyOf?: unknown[] };
      for (const [name, field] of Object.entries(properties ?? {})) {
        fields++;
        if (!(field as { description?: string }).description) undescribed.push(`${path}.${name}`);
        walk(field, `${path}.${name}`);
      }
      for (const [i, option] of [...oneOf, ...anyOf].entries()) walk(option, `${path}[${i}]`);
    };
    walk(jobSchema(), '');
    expect(undescribed).toEqual([]);
    expect(fields).toBeGreaterThan(60);
  });

  it('knows the short forms, and refuses unknown fields', () => {
    const { properties, additionalProperties, required } = jobSchema() as {
      properties: Record<string, { anyOf: { type: string; enum?: string[] }[] }>;
      additionalProperties: boolean;
      required: string[];
    };
    expect(properties['model']!.anyOf[0]).toMatchObject({ type: 'string', enum: ['mlp', 'cnn', 'resnet', 'gpt', 'keras', 'module'] });
    expect(additionalProperties).toBe(false);
    expect(required).toEqual(['data', 'model']);
  });

  it('is plain JSON', () => {
    const schema = jobSchema();
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });
});

describe('fleetSchema', () => {
  it('takes a link as a word or as rates', () => {
    const { properties } = fleetSchema() as { properties: { server: { anyOf: { type: string; enum?: string[] }[] } } };
    expect(properties.server.anyOf.map(({ type }) => type)).toEqual(['string', 'object']);
    expect(properties.server.anyOf[0]!.enum).toContain('fibre');
    expect(JSON.parse(JSON.stringify(fleetSchema()))).toEqual(fleetSchema());
  });
});
