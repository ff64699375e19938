import { LongtailError, nearestName } from '@longtail/core';
import { validateJob, withOverrides, type BenchScenario, type JobDocument, type ScenarioArm } from '@longtail/spec';
import { parseBitRate, parseByteSize, parseDurationMs } from '@longtail/spec/units';

/** One knob, and the values that it takes in turn, as texts. */
export interface Sweep {
  readonly knob: string;
  readonly values: readonly string[];
}

const STEPS = 5;
/** From, unit, to, unit, how many. */
const RANGE = /^(\d+(?:\.\d+)?(?:e-?\d+)?)([A-Za-z]*)\.\.(\d+(?:\.\d+)?(?:e-?\d+)?)([A-Za-z]*)(?:\/(\d+))?$/;
/** What a quantity may be whose ends have different units. */
const QUANTITIES = [parseBitRate, parseDurationMs, parseByteSize] as const;
const EXAMPLE = 'Write it like link.up=5mbit..100mbit, or sync.localSteps=10,50,200.';

/**
 * `link.up=5mbit..100mbit` (five values, each as many times the one before), `…/8` (eight), or a list. The values have the unit of the first
 * end. Between two counts without a unit they are counts; rates and round trips have one, as nobody could tell which is meant. Throws
 * LongtailError `usage`.
 */
export function parseSweep(text: string): Sweep {
  const [, knob, given] = /^([A-Za-z][\w.]*)=(.+)$/.exec(text) ?? [];
  if (knob === undefined || given === undefined) throw new LongtailError(`"${text}" names no knob and its values`, { code: 'usage', hint: EXAMPLE });
  if (/^(link|server)\./.test(knob) && !(knob in LINK || knob in SERVER)) {
    const knobs = [...Object.keys(LINK), ...Object.keys(SERVER)];
    throw new LongtailError(`there is no knob ${knob}; did you mean ${nearestName(knob, knobs) ?? knobs[0]}? (${knobs.join(', ')}, or a field of the job)`, { code: 'usage', hint: EXAMPLE });
  }
  const values = valuesOf(given);
  if ((knob in LINK || knob in SERVER) && values.some((value) => !Number.isNaN(Number(value)))) throw new LongtailError(`${text} has no unit`, { code: 'usage', hint: 'Write it like link.up=5mbit..100mbit, or link.rtt=10ms,80ms.' });
  return { knob, values };
}

function valuesOf(given: string): readonly string[] {
  const range = RANGE.exec(given);
  if (range === null) return [...new Set(given.split(',').map((value) => value.trim()))];
  const [, from, ownUnit, to, otherUnit, count] = range;
  const unit = ownUnit || otherUnit!;
  const steps = count === undefined ? STEPS : Number(count);
  const times = unit === otherUnit ? Number(to) / Number(from) : timesAsMuch(`${from}${unit}`, `${to}${otherUnit}`);
  if (times === undefined) throw new LongtailError(`the ends of ${given} are not of one kind`, { code: 'usage', hint: EXAMPLE });
  if (!(times > 1 && times < Infinity && steps >= 2)) throw new LongtailError(`${given} is no range from a number above 0 to a larger one`, { code: 'usage', hint: EXAMPLE });
  const values = Array.from({ length: steps }, (_, i) => Number(from) * times ** (i / (steps - 1)));
  const counts = unit === '' && Number.isInteger(Number(from)) && Number.isInteger(Number(to));
  return [...new Set(values.map((value) => `${counts ? Math.round(value) : Number(value.toPrecision(3))}${unit}`))];
}

/** By which `to` is larger; undefined where the two are not of one kind. */
function timesAsMuch(from: string, to: string): number | undefined {
  for (const parse of QUANTITIES) {
    const [low, high] = [parse(from), parse(to)];
    if (low !== undefined && high !== undefined) return high / low;
  }
  return undefined;
}

const LINK = { 'link.up': ['up', parseBitRate], 'link.down': ['down', parseBitRate], 'link.rtt': ['rtt', parseDurationMs] } as const;
const SERVER = { 'server.up': ['up', parseBitRate], 'server.down': ['down', parseBitRate] } as const;

/**
 * The scenario at each value of the knob. Throws LongtailError `usage` where the job can have none of them, but for arms that no job can have
 * anyway.
 */
export function settingsOf(scenario: BenchScenario, { knob, values }: Sweep): readonly { readonly at: BenchScenario; readonly knob: string }[] {
  const settings = values.map((value) => ({ at: turned(scenario, knob, value), knob: value }));
  const possible = scenario.arms.filter(({ refusal }) => refusal === undefined).length;
  const refusals = settings.flatMap(({ at }) => at.arms.flatMap(({ refusal }, i) => (scenario.arms[i]!.refusal === undefined ? (refusal ?? []) : [])));
  if (possible > 0 && refusals.length === possible * values.length) throw new LongtailError(`no arm can have ${knob} at any of ${values.join(', ')}: ${refusals[0]}`, { code: 'usage', hint: EXAMPLE });
  return settings;
}

/** The scenario with the knob at a value: of every machine's link, of the server's, or a field of the job. Throws LongtailError `usage`. */
export function turned(scenario: BenchScenario, knob: string, value: string): BenchScenario {
  const { fleet, arms } = scenario;
  if (knob in LINK) {
    const [field, parse] = LINK[knob as keyof typeof LINK];
    const machines = fleet.machines.map((machine) => ({ ...machine, link: { ...machine.link, [field]: quantity(knob, value, parse) } }));
    return { ...scenario, fleet: { ...fleet, machines } };
  }
  if (knob in SERVER) {
    const [field, parse] = SERVER[knob as keyof typeof SERVER];
    return { ...scenario, fleet: { ...fleet, server: { ...fleet.server, [field]: quantity(knob, value, parse) } } };
  }
  return { ...scenario, arms: arms.map((arm) => withField(arm, knob, value)) };
}

function quantity(knob: string, value: string, parse: (text: string) => number | undefined): number {
  const number = parse(value);
  if (number !== undefined && number > 0) return number;
  throw new LongtailError(`${knob} cannot be "${value}"`, { code: 'usage', hint: EXAMPLE });
}

/** A job that cannot have the value is refused beside the others. */
function withField(arm: ScenarioArm, field: string, value: string): ScenarioArm {
  try {
    const job = withOverrides(arm.job, { [field]: jsonOrWord(value) }) as JobDocument;
    validateJob(job);
    return { ...arm, job };
  } catch (error) {
    return { ...arm, refusal: arm.refusal ?? LongtailError.from(error).message };
  }
}

function jsonOrWord(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
