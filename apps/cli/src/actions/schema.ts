import { fleetSchema, jobSchema, nodeSchema, scenarioSchema } from '@longtail/spec';
import type { Output } from '../terminal/output.js';

const SCHEMAS = { job: jobSchema, fleet: fleetSchema, scenario: scenarioSchema, node: nodeSchema };

export async function schema(output: Output, _options: object, kind: keyof typeof SCHEMAS): Promise<number> {
  output.line(JSON.stringify(SCHEMAS[kind](), null, output.json ? 0 : 2));
  return 0;
}
