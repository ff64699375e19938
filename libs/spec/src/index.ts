export { parseFleetFile } from './fleet.js';
export { LINK_CLASSES } from './links.js';
export type { LinkRates } from './links.js';
export { fleetSchema, jobSchema } from './json-schema.js';
export type { JobDraft } from './job-file.js';
export type { ModelDraft } from './model.js';
export type { JobDocument } from './parse.js';
export { parseJobFile, placeOfField, validateJob } from './parse.js';
export { resolveJob } from './resolve.js';
