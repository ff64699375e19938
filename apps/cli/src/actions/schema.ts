import { jobSchema } from '@longtail/spec';
import type { Output } from '../terminal/output.js';

export async function schema(output: Output): Promise<number> {
  output.line(JSON.stringify(jobSchema(), null, output.json ? 0 : 2));
  return 0;
}
