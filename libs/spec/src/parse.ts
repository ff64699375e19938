import { LineCounter, parseDocument, type Document } from 'yaml';
import type { LongtailError } from '@longtail/core';
import type { z } from 'zod';
import { describeIssue } from './fields.js';
import type { JobDraft } from './job-file.js';
import { draftOf, jobFileSchema } from './job-file.js';
import { withOverrides, type Overrides } from './overrides.js';
import { positionOf } from './positions.js';
import { fieldName, invalidFile, problemsOf, type Problem } from './problems.js';

/** A valid job as plain JSON, in the words of the job file: what a client sends to the server. */
export type JobDocument = z.input<typeof jobFileSchema>;

/**
 * Reads a job file (YAML, so JSON too). `file` is its name in messages; `resolvePath` makes its paths absolute;
 * `overrides` stand in the place of what it says.
 * Throws LongtailError `invalid-file` that lists every problem with file, line, column and field, or that the job with `overrides`
 * has, and what `withOverrides` throws.
 */
export function parseJobFile(text: string, file: string, resolvePath: (path: string) => string = (path) => path, overrides: Overrides = {}): JobDocument {
  const { document } = checkFile(jobFileSchema, text, file, 'longtail schema');
  const written = { name: stem(file), ...(document as JobDocument) };
  if (Object.keys(overrides).length === 0) return withPaths(written, resolvePath);
  const job = withOverrides(written, overrides);
  checkJob(job, jobWith(overrides));
  return withPaths(job as JobDocument, resolvePath);
}

/** The job that was meant, in an error. */
export function jobWith(overrides: Overrides): string {
  return `the job with ${Object.entries(overrides)
    .map(([field, value]) => `${field}=${JSON.stringify(value)}`)
    .join(', ')}`;
}

/** A file's content with every default filled in. `schemaCommand` prints its fields. Throws as `parseJobFile` does. */
export function readFile<Schema extends z.ZodType>(schema: Schema, text: string, file: string, schemaCommand: string): z.output<Schema> {
  return checkFile(schema, text, file, schemaCommand).data;
}

/** An alias of nothing, of what it stands in, or too many of them, shows only now. */
function documentOf(yaml: Document.Parsed, refused: (message: string) => LongtailError): unknown {
  try {
    const document: unknown = yaml.toJS();
    JSON.stringify(document);
    return document;
  } catch (error) {
    throw refused(error instanceof Error ? error.message.replace(/\n[^]*/, '') : String(error));
  }
}

interface CheckedFile<Schema extends z.ZodType> {
  /** As it stands in the file, and as the schema reads it. */
  readonly document: unknown;
  readonly data: z.output<Schema>;
  /** The error for what turns out to be wrong later. */
  refused(problems: readonly Problem[]): LongtailError;
}

/** Throws as `parseJobFile` does. */
export function checkFile<Schema extends z.ZodType>(schema: Schema, text: string, file: string, schemaCommand: string): CheckedFile<Schema> {
  const lines = new LineCounter();
  // What is no JSON, such as a !!set, has no place here: a tag is wrong, whatever it says.
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error', resolveKnownTags: false });
  const wrong = [...yaml.errors, ...yaml.warnings];
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (wrong.length > 0)
    throw invalidFile(
      file,
      wrong.map((error) => `${place(error.pos[0])}: not valid YAML: ${error.message}`),
      schemaCommand,
    );
  if (yaml.contents === null) throw invalidFile(file, [`${place(0)}: the file is empty`], schemaCommand);
  const document = documentOf(yaml, (message) => invalidFile(file, [`${place(0)}: not valid YAML: ${message}`], schemaCommand));
  const refused = (problems: readonly Problem[]) => {
    const placed = problems.map(({ path, message }) => ({ offset: positionOf(yaml, path), field: fieldName(path), message }));
    placed.sort((a, b) => a.offset - b.offset);
    return invalidFile(
      file,
      placed.map(({ offset, field, message }) => `${place(offset)}${field && ` ${field}`}: ${message}`),
      schemaCommand,
    );
  };
  const parsed = schema.safeParse(document, { error: describeIssue });
  if (!parsed.success) throw refused(problemsOf(parsed.error));
  return { document, data: parsed.data, refused };
}

/**
 * A job that came as JSON, at the server's edge, with every default that does not hang on the data.
 * Throws LongtailError `invalid-file` that lists every problem with its field.
 */
export function validateJob(document: unknown): JobDraft {
  return draftOf(checkJob(document, 'the job'));
}

/** Throws as `validateJob` does. */
function checkJob(document: unknown, name: string): z.output<typeof jobFileSchema> {
  const parsed = jobFileSchema.safeParse(document, { error: describeIssue });
  if (parsed.success) return parsed.data;
  throw invalidFile(
    name,
    problemsOf(parsed.error).map(({ path, message }) => (path.length > 0 ? `${fieldName(path)}: ${message}` : message)),
    'longtail schema',
  );
}

/**
 * `model.type` → `job.yaml:3:1 model.type`: the place of a field that turned out to be wrong after the file was read.
 * Undefined where `field` is none of a job's.
 */
export function placeOfField(text: string, file: string, field: string): string | undefined {
  const path = field.split('.');
  if (!Object.hasOwn(jobFileSchema.shape, path[0]!)) return undefined;
  const lines = new LineCounter();
  const { line, col } = lines.linePos(positionOf(parseDocument(text, { lineCounter: lines }), path));
  return `${file}:${line}:${col} ${field}`;
}

/** `jobs/mnist.yaml` → `mnist`; what no name holds becomes `-`. */
export function stem(file: string): string {
  const own = file.replace(/^.*[/\\]/, '').replace(/\.[a-z]+$/i, '');
  const allowed = own.slice(0, 100).replace(/[^\p{L}\p{M}\p{N}_ .-]+/gu, '-');
  return allowed.replace(/^[^\p{L}\p{N}_]+/u, '') || 'job';
}

export function withPaths(document: JobDocument, resolvePath: (path: string) => string): JobDocument {
  return { ...document, model: sectionWithPaths(document.model, resolvePath), data: sectionWithPaths(document.data, resolvePath) };
}

/** Both sections name their files in a field `path`: one, or a list. */
function sectionWithPaths<Section>(section: Section, resolvePath: (path: string) => string): Section {
  if (typeof section !== 'object' || section === null || !('path' in section)) return section;
  const resolved = (path: unknown) => (typeof path === 'string' && !/^https?:\/\//.test(path) ? resolvePath(path) : path);
  return { ...section, path: Array.isArray(section.path) ? section.path.map(resolved) : resolved(section.path) };
}
