import type { z } from 'zod';
import { checkFile, jobWith, parseJobFile, stem, withPaths, type JobDocument } from './parse.js';
import { withOverrides, type Overrides } from './overrides.js';
import { invalidFile } from './problems.js';
import { expandArms, type ScenarioArm } from './scenario-arms.js';
import { scenarioFileSchema } from './scenario-file.js';

type ScenarioFile = z.output<typeof scenarioFileSchema>;

/** A scenario as its file says it, every default filled in. */
export interface BenchScenario extends Omit<ScenarioFile, 'name' | 'job' | 'arms'> {
  readonly name: string;
  readonly arms: readonly ScenarioArm[];
}

export interface ScenarioContext {
  /** A path that stands in `file`, as one that `read` takes. */
  resolve(path: string, file: string): string;
  /** Text of a file. Throws LongtailError `missing-file`. */
  read(path: string): string;
  /** In the place of what the files say. */
  readonly overrides?: Overrides;
}

/**
 * Reads a scenario file (YAML, so JSON too) and the job file that it names. Throws LongtailError `invalid-file` that lists every problem
 * with file, line, column and field.
 */
export function parseScenarioFile(text: string, file: string, { resolve, read, overrides = {} }: ScenarioContext): BenchScenario {
  const { data, refused } = checkFile(scenarioFileSchema, text, file, 'longtail schema scenario');
  const { job: given, arms: entries, fleet, ...rest } = data;
  const resolvePath = (path: string) => resolve(path, file);
  const jobFile = typeof given === 'string' ? resolvePath(given) : undefined;
  const written = jobFile === undefined ? withPaths({ name: stem(file), ...(given as JobDocument) }, resolvePath) : parseJobFile(read(jobFile), jobFile, (path) => resolve(path, jobFile));
  const { arms, problems } = expandArms(entries, withOverrides(written, overrides) as JobDocument);
  if (problems.length > 0) {
    const own = expandArms(entries, written).problems;
    if (own.length > 0) throw refused(own);
    throw invalidFile(jobWith(overrides), [...new Set(problems.map(({ message }) => message))], 'longtail schema');
  }
  const machines = fleet.machines.map((machine) =>
    machine.churn?.type === 'trace' ? { ...machine, churn: { ...machine.churn, path: resolvePath(machine.churn.path) } } : machine,
  );
  return { ...rest, name: data.name ?? stem(file), fleet: { ...fleet, machines }, arms };
}
