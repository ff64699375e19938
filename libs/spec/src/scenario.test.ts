import { LongtailError } from '@longtail/core';
import { describe, expect, it } from 'vitest';
import { scenarioSchema } from './json-schema.js';
import { parseScenarioFile } from './scenario.js';

const FILES: Readonly<Record<string, string>> = {
  '/jobs/mnist.yaml': 'data: mnist\nmodel: cnn\nsync: diloco\n',
  '/jobs/bad.yaml': 'data: mnist\nmodel: cn\n',
};
const context = {
  resolve: (path: string, from: string) => new URL(path, new URL(from, 'file:///')).pathname,
  read: (path: string) => {
    if (FILES[path] === undefined) throw new LongtailError(`no ${path}`, { code: 'missing-file' });
    return FILES[path];
  },
};
const parse = (text: string, overrides?: Readonly<Record<string, unknown>>) => parseScenarioFile(text, '/scenarios/test.yaml', { ...context, overrides });
const problemIn = (text: string, overrides?: Readonly<Record<string, unknown>>): string => {
  try {
    parse(text, overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(LongtailError);
    return (error as LongtailError).message;
  }
  return '';
};

const whole = (arms: string) => `job: ../jobs/mnist.yaml\nfleet: {machines: [{gpu: M1}]}\narms: ${arms}\n`;

describe('arms', () => {
  it('are what their lists come to, named by what varies, with the fields of the job under their short names', () => {
    const { arms, name, seeds } = parse(whole('[{strategy: [bsp, asp], codec: int8}, {name: slow, planner: [solo, equal], sync.localSteps: 20}, {}]'));
    expect(arms.map((arm) => arm.name)).toEqual(['bsp int8', 'asp int8', 'slow planner solo', 'slow planner equal', 'the job']);
    expect(arms[1]!.job.sync).toEqual({ strategy: 'asp', codec: 'int8' });
    expect(arms[3]).toMatchObject({ planner: 'equal', settings: { planner: 'equal', 'sync.localSteps': '20' } });
    expect(arms[3]!.job.sync).toEqual({ strategy: 'diloco', localSteps: 20 });
    expect([name, seeds]).toEqual(['test', [1]]);
  });

  it('may try lists, each a list in the list', () => {
    const text = whole('[{model.hidden: [[64], [128, 64]]}]').replace('../jobs/mnist.yaml', '{data: mnist, model: {type: mlp}}');
    const { arms } = parse(text);
    expect(arms.map(({ name, job }) => [name, job.model])).toEqual([
      ['hidden 64', { type: 'mlp', hidden: [64] }],
      ['hidden 128,64', { type: 'mlp', hidden: [128, 64] }],
    ]);
  });

  it('that no job can have are refused beside the others; an entry of such alone is an error of the file', () => {
    const { arms } = parse(whole('[{strategy: [bsp, diloco], sync.localSteps: 20}]'));
    expect(arms.map(({ refusal }) => refusal)).toEqual([expect.stringContaining('sync.localSteps: is for the strategies') as unknown, undefined]);
    expect(problemIn(whole('[{strategy: bsp, sync.localSteps: 20}]'))).toContain('/scenarios/test.yaml:3:24 arms[0].sync.localSteps: is for the strategies');
    expect(problemIn(whole('[{codec: int3}]'))).toContain('test.yaml:3:9 arms[0].codec: unknown codec "int3"; did you mean "int');
    expect(problemIn(whole('[{sync.codek: int8}]'))).toContain('arms[0].sync.codek: unknown field "codek"; did you mean "codec"?');
    expect(problemIn(whole('[{planner: best}]'))).toContain('arms[0].planner: unknown planner "best" (one of planned, solo, equal, random)');
  });
});

describe('fields that are set beside the file', () => {
  it('stand in every arm, and what is wrong with them is not laid to the file', () => {
    expect(parse(whole('[{}, {strategy: bsp}]'), { 'train.maxSamples': 7 }).arms.map(({ job }) => job.train)).toEqual([{ maxSamples: 7 }, { maxSamples: 7 }]);
    expect(problemIn(whole('[{}, {strategy: bsp}]'), { 'train.maxSample': 7 })).toMatch(/^the job with train\.maxSample=7 has a problem\n {2}train\.maxSample: unknown field "maxSample"; did you mean "maxSamples"\?[^\n]*$/);
    expect(problemIn(whole('[{codec: int3}]'), { 'train.maxSamples': 7 })).toContain('test.yaml:3:9 arms[0].codec: unknown codec "int3"');
  });
});

describe('scenario files', () => {
  it.each(['../../etc', 'a/b', '..', '.', 'C:\\\\x', ' x', 'a\\nb'])('have no name that leads elsewhere: %j', (name) => {
    expect(problemIn(`name: "${name}"\n${whole('[{}]')}`)).toContain('test.yaml:1:1 name: must begin with a letter or digit');
  });

  const fleet = (machine: string, rest = '') => `job: ../jobs/mnist.yaml\narms: [{}]\nfleet:\n  machines:\n    - ${machine}\n${rest}`;

  it.each([
    [fleet('{gpu: RTX 4900}'), '/scenarios/test.yaml:5:8 fleet.machines[0].gpu: unknown GPU "RTX 4900"; did you mean "RTX 4090"?'],
    [fleet('{name: a}'), 'test.yaml:5:7 fleet.machines[0]: needs either gpu or samplesPerSecond'],
    [fleet('{samplesPerSecond: -3}'), 'fleet.machines[0].samplesPerSecond: must be a number above 0, found -3'],
    [fleet('{gpu: M1, link: {up: -5mbit}}'), 'fleet.machines[0].link.up: must be a rate above 0, like 20Mbit or 1Gbit, found "-5mbit"'],
    [fleet('{gpu: M1, link: {up: {from: 5mbit}}}'), 'fleet.machines[0].link.up: must be one value, or {from, to} in this order, or {median, sigma}'],
    [fleet('{gpu: M1, churn: {type: weibul}}'), 'fleet.machines[0].churn.type: unknown kind of churn "weibul"; did you mean "weibull"?'],
    [fleet('{gpu: M1, churn: {type: exponential, here: 2h}}'), 'fleet.machines[0].churn.away: must be a time'],
    [fleet('{gpu: M1, region: us}'), 'fleet.machines[0].region: is of matrix.regions, and there is no matrix'],
    [fleet('{gpu: M1, region: asia}', '  matrix: {regions: [us, eu], server: us, rtt: [[1ms, 90ms], [90ms, 1ms]]}\n'), 'fleet.machines[0].region: "asia" is none of the regions us, eu'],
    [fleet('{gpu: M1}', '  matrix: {regions: [us, eu], server: us, rtt: [[1ms]]}\n'), 'test.yaml:6:43 fleet.matrix.rtt: must have a row for each of 2 regions'],
    [fleet('{gpu: M1, link: {rtt: 40}}'), 'fleet.machines[0].link.rtt: must be a time above 0 with its unit, like 20ms, found 40'],
    [fleet('{gpu: M1}', 'seeds: [1, 2, 1]\n'), 'test.yaml:6:1 seeds: 1 is there twice'],
    [fleet('{gpu: M1}', '  begins: monday\n'), 'fleet.begins: must be a day and a time, like mon 18:00, found "monday"'],
    [fleet('{gpu: M1, lan: a}', '  lans: {b: {}}\n'), 'fleet.lans.b: no machine is in this LAN: theirs are a'],
    ['fleet: {machines: [{gpu: M1}]}\narms: [{}]', 'job: is required: the path of a job file, or a job'],
    ['job: {data: mnist, model: {type: cnn, kernal: 3}}\nfleet: {machines: [{gpu: M1}]}\narms: [{}]', 'test.yaml:1:39 job.model.kernal: unknown field "kernal"; did you mean "kernel"?'],
    ['job: ../jobs/bad.yaml\nfleet: {machines: [{gpu: M1}]}\narms: [{}]', '/jobs/bad.yaml:2:1 model.type: unknown model "cn"'],
    ['job: ../jobs/none.yaml\nfleet: {machines: [{gpu: M1}]}\narms: [{}]', 'no /jobs/none.yaml'],
    ['job: ../jobs/mnist.yaml\nfleet: {machines: [{gpu: M1}]}\narms: []', 'arms: must not be empty'],
  ])('%j', (text, expected) => {
    expect(problemIn(text)).toContain(expected);
  });

  it('has a schema of its own, with that of a job inside', () => {
    const { properties } = scenarioSchema() as { properties: Record<string, { anyOf?: readonly { title?: string }[] }> };
    expect(properties['job']!.anyOf!.map(({ title }) => title)).toEqual([undefined, 'Longtail job']);
  });
});
