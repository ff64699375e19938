import { limitsOf, nodeFileSchema, type OwnerLimits } from './node-file.js';
import { readFile } from './parse.js';

/** Reads a node file (YAML, so JSON too). Throws LongtailError `invalid-file` that lists every problem with file, line, column and field. */
export function parseNodeFile(text: string, file: string): OwnerLimits {
  return limitsOf(readFile(nodeFileSchema, text, file, 'longtail schema node'));
}
