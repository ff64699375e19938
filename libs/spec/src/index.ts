export { jobSchema } from './json-schema.js';
export type { JobDraft } from './job-file.js';
export type { ModelDraft } from './model.js';
export type { JobDocument } from './parse.js';
export { parseJobFile, placeOfField, validateJob } from './parse.js';
export { resolveJob } from './resolve.js';
