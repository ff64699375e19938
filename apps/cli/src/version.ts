import { createRequire } from 'node:module';

/** Of this package, and so of the release. */
export const VERSION = (createRequire(import.meta.url)('../package.json') as { version: string }).version;
