import { LongtailError } from '@longtail/core';
import { describeIssue, unknownName } from './fields.js';
import { jobFileSchema } from './job-file.js';
import { withOverrides } from './overrides.js';
import type { JobDocument } from './parse.js';
import { fieldName, problemsOf, type Problem } from './problems.js';

/**
 * Who computes what. `planned`: as a server lays the job out. `solo`: everybody the whole model. `equal`: as planned, but with equal shares
 * for all, and stages of equally many blocks. `random`: as planned, with devices in each other's places, drawn from the seed.
 */
const PLANNER_POLICIES = ['planned', 'solo', 'equal', 'random'] as const;
export type PlannerPolicy = (typeof PLANNER_POLICIES)[number];

/** One way of training. */
export interface ScenarioArm {
  readonly name: string;
  /** As the file says them, by the words that it has for them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly planner: PlannerPolicy;
  readonly job: JobDocument;
  /** Why there is no such job; undefined: there is. */
  readonly refusal?: string;
}

type Value = string | number | boolean | readonly (string | number | boolean)[];
type Entry = Readonly<Record<string, Value | readonly Value[]>>;

/** Short words for fields of the job. */
const SHORT: Readonly<Record<string, string>> = { strategy: 'sync.strategy', codec: 'sync.codec', schedule: 'cluster.schedule' };

/**
 * Each entry is a grid over its lists. Combinations that no job can have are refused and stand beside the others; where an entry has no
 * other, the file is wrong. Names are made unique.
 */
export function expandArms(entries: readonly Entry[], job: JobDocument): { readonly arms: readonly ScenarioArm[]; readonly problems: readonly Problem[] } {
  const arms: ScenarioArm[] = [];
  const problems: Problem[] = [];
  for (const [at, entry] of entries.entries()) {
    const tried = combinations(entry).map((values) => armOf(values, entry, job));
    const first = tried[0]!;
    if (tried.every(({ problem }) => problem !== undefined)) problems.push({ path: ['arms', at, ...first.problem!.field], message: first.problem!.message });
    arms.push(...tried.map(({ arm }) => arm));
  }
  return { arms: arms.map((arm, i) => ({ ...arm, name: unique(arm.name, arms, i) })), problems };
}

function combinations(entry: Entry): readonly Readonly<Record<string, Value>>[] {
  return Object.entries(entry).reduce<readonly Readonly<Record<string, Value>>[]>(
    (all, [field, values]) => all.flatMap((one) => [values].flat().map((value) => ({ ...one, [field]: value as Value }))),
    [{}],
  );
}

interface Tried {
  readonly arm: ScenarioArm;
  /** `field`: of the entry; none where what is wrong is none of its own. */
  readonly problem?: { readonly field: readonly string[]; readonly message: string };
}

function armOf({ name, planner = 'planned', ...fields }: Readonly<Record<string, Value>>, entry: Entry, job: JobDocument): Tried {
  const words = Object.entries({ ...fields, ...(entry['planner'] !== undefined && { planner }) });
  const told = name === undefined ? words : words.filter(([field]) => Array.isArray(entry[field]));
  const settings = Object.fromEntries(words.map(([field, value]) => [field, String(value)]));
  const arm = { name: [...(name === undefined ? [] : [String(name)]), ...told.map(inName)].join(' ') || 'the job', settings, planner: planner as PlannerPolicy };
  if (!PLANNER_POLICIES.includes(arm.planner)) return refused({ ...arm, planner: 'planned', job }, 'planner', unknownName('planner', planner, PLANNER_POLICIES));
  const overrides = Object.fromEntries(Object.entries(fields).map(([field, value]) => [SHORT[field] ?? field, value]));
  try {
    const document = withOverrides(inFull(job), overrides);
    const parsed = jobFileSchema.safeParse(document, { error: describeIssue });
    if (parsed.success) return { arm: { ...arm, job: document as JobDocument } };
    const { path, message } = problemsOf(parsed.error)[0]!;
    const where = fieldName(path);
    const field = Object.keys(fields).find((one) => (SHORT[one] ?? one) === where);
    return refused({ ...arm, job }, field, field === undefined ? `${where}: ${message}` : message);
  } catch (error) {
    const { message, where } = LongtailError.from(error);
    return refused({ ...arm, job }, where, message);
  }
}

/** Undefined field: it is none of the entry's own. */
function refused(arm: ScenarioArm, field: string | undefined, message: string): Tried {
  return { arm: { ...arm, refusal: field === undefined ? message : `${field}: ${message}` }, problem: { field: field === undefined ? [] : [field], message } };
}

/** `diloco`, `planner equal`, `localSteps 50`. */
function inName([field, value]: readonly [string, Value]): string {
  const word = field.split('.').at(-1)!;
  return field in SHORT ? String(value) : `${word} ${value}`;
}

/** Sections that a bare name stands for, as sections. */
function inFull(job: JobDocument): unknown {
  return { ...job, ...(typeof job.sync === 'string' && { sync: { strategy: job.sync } }) };
}

function unique(name: string, arms: readonly ScenarioArm[], i: number): string {
  const before = arms.slice(0, i).filter((arm) => arm.name === name).length;
  return before === 0 ? name : `${name} #${before + 1}`;
}
