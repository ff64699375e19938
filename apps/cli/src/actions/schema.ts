import { fleetSchema, jobSchema } from '@longtail/spec';
import type { Output } from '../terminal/output.js';

export async function schema(output: Output, _options: object, kind: 'job' | 'fleet'): Promise<number> {
  const document = kind === 'job' ? jobSchema() : fleetSchema();
  output.line(JSON.stringify(document, null, output.json ? 0 : 2));
  return 0;
}
