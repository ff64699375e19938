import { downCodecOf, LongtailError } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseJobFile, placeOfField, validateJob } from './parse.js';

const problemsIn = (text: string): string[] => {
  try {
    parseJobFile(text, 'job.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(LongtailError);
    expect((error as LongtailError).code).toBe('invalid-file');
    return (error as LongtailError).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
};

const interleaved = (stages: string): string => `data: mnist\nmodel: cnn\ncluster: {schedule: interleaved, layout: [[${stages}]]}`;

describe('parseJobFile', () => {
  it('takes two words and fills in the rest', () => {
    const job = validateJob(parseJobFile('data: mnist\nmodel: cnn\n', 'jobs/first.yaml'));
    expect(job).toMatchObject({
      name: 'first',
      data: { type: 'mnist' },
      model: { type: 'cnn', channels: [16, 32], kernel: 3, padding: 'same', pool: 'each', hidden: [128] },
      train: {
        epochs: 1,
        batch: 128,
        optimizer: { type: 'adam', decoupled: false },
        learningRate: 0.001,
        schedule: { type: 'constant' },
        seed: 0,
      },
      sync: { strategy: 'bsp', codec: 'fp32', minDeadlineMs: 3000 },
      cluster: { minWorkers: 1, waitMs: 60_000, engine: undefined },
      checkpoint: { everyMs: 30_000 },
    });
  });

  it.each([
    ['jobs/mnist.yaml', 'mnist'],
    ['C:\\jobs\\mnist.v2.yml', 'mnist.v2'],
    ['été 日本.yaml', 'été 日本'],
    ['fine tuning (2).yaml', 'fine tuning -2-'],
    ['.hidden.yaml', 'hidden'],
    ['…/#.yaml', 'job'],
    [`${'𝒳'.repeat(60)}.yaml`, '𝒳'.repeat(50)],
    [`x${'𝒳'.repeat(60)}.yaml`, `x${'𝒳'.repeat(49)}-`],
  ])('names a job after its file, by what a name may hold: %s', (file, name) => {
    expect(validateJob(parseJobFile('data: mnist\nmodel: cnn\n', file)).name).toBe(name);
  });

  it('takes the name of a strategy for the whole section, and its fields with units', () => {
    const sync = (text: string) => validateJob(parseJobFile(`data: mnist\nmodel: cnn\nsync: ${text}`, 'job.yaml')).sync;
    expect(sync('diloco')).toMatchObject({ strategy: 'diloco', minDeadlineMs: 3000 });
    expect(sync('{ strategy: diloco, localSteps: 20, quorum: 0.75, grace: 2s, outer: { momentum: 0.8 } }')).toMatchObject({
      localSteps: 20,
      quorum: 0.75,
      graceMs: 2000,
      outer: { learningRate: 0.7, momentum: 0.8 },
    });
  });

  it('lists every problem with its place, in the order of the file', () => {
    const text = [
      'data: mnist',
      'model: cnn',
      'train:',
      '  optimizer:',
      '    type: adma',
      '  learningRat: 1',
      '  batch: 0',
      '  epochs: many',
    ].join('\n');
    expect(problemsIn(text)).toEqual([
      'job.yaml:5:5 train.optimizer.type: unknown optimizer "adma"; did you mean "adam"? (one of adam, adamw, muon, sgd)',
      expect.stringMatching(
        /^job\.yaml:6:3 train\.learningRat: unknown field "learningRat"; did you mean "learningRate"\? \(fields here: epochs, /,
      ),
      'job.yaml:7:3 train.batch: must be a whole number from 1 to 1048576, found 0',
      'job.yaml:8:3 train.epochs: must be a whole number from 1 to 100000, found "many"',
    ]);
  });

  it.each([
    ['data: mnits\nmodel: cnn', 'job.yaml:1:1 data.type: unknown data set "mnits"; did you mean "mnist"?'],
    ['data: mnist\nmodel: {type: transformer}', 'job.yaml:2:9 model.type: unknown model "transformer" (one of mlp,'],
    ['model: cnn', 'job.yaml:1:1 data: is required: a data set (one of mnist,'],
    ['data: mnist\nmodel: {hidden: [4]}', 'job.yaml:2:1 model.type: is required: a model'],
    ['data: mnist\nmodel: {type: mlp, hidden: [8, 0]}', 'job.yaml:2:32 model.hidden[1]: must be a whole number from 1 to 1048576, found 0'],
    ['data: gutenberg\nmodel: {type: gpt, width: 100, heads: 3}', 'job.yaml:2:32 model.heads: a width of 100 does not split into 3 heads'],
    [
      'data: mnist\nmodel: cnn\nsync: {minDeadline: soon}',
      'job.yaml:3:8 sync.minDeadline: must be a time from 10ms to 24h, like 30s or 5min, found "soon"',
    ],
    ['data: mnist\nmodel: cnn\ntrain: fast', 'job.yaml:3:1 train: must be a section with fields of its own, found "fast"'],
    ['data: mnist\nmodel: cnn\ncluster: {engine: cuda}', 'job.yaml:3:11 cluster.engine: unknown engine "cuda"'],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{worker: a, blocks: 2}, {worker: a, blocks: 1}]]}',
      'job.yaml:3:45 cluster.layout[0][1]: worker a has a stage already: only the schedule interleaved gives it several',
    ],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{worker: a, blocks: 2}, {worker: 2}]]}',
      "job.yaml:3:45 cluster.layout[0][1]: the stage of 2 needs blocks: how many of the model's it has",
    ],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{worker: a, workers: [b], blocks: 2}]]}',
      'job.yaml:3:21 cluster.layout[0][0]: needs either worker or workers',
    ],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{workers: [a, b, a], blocks: 2}, {worker: 2, blocks: 1}]]}',
      'cluster.layout[0][0]: one of the workers a, b, a is named twice',
    ],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{workers: [a, b]}]]}',
      'cluster.layout[0][0]: the whole model on a, b is no stage with replicas: give each a group of its own',
    ],
    [
      'data: mnist\nmodel: cnn\ncluster: {layout: [[{worker: a}], [{worker: a}]]}',
      'cluster.layout[1][0]: worker a is in another group already',
    ],
    [
      interleaved('{workers: [a, b], blocks: 1}, {worker: c, blocks: 1}'),
      'cluster.layout[0][0]: the schedule interleaved takes one worker a stage: replicas are for the others',
    ],
    [
      interleaved('{worker: a, blocks: 1}, {worker: a, blocks: 1}'),
      'cluster.layout[0]: worker a has all stages: name it once, without blocks, and it holds the whole model',
    ],
    [
      interleaved('{worker: a, blocks: 1}, {worker: b, blocks: 1}'),
      'cluster.layout[0]: the schedule interleaved wants several stages on each worker: a, b, and again',
    ],
    [
      interleaved('{worker: a, blocks: 1}, {worker: b, blocks: 1}, {worker: b, blocks: 1}, {worker: a, blocks: 1}'),
      'cluster.layout[0][2]: the schedule interleaved wants the workers of a group in turn: a, b, and again',
    ],
    [
      interleaved('{worker: a, blocks: 1}, {worker: b, blocks: 1}, {worker: a, blocks: 1}'),
      'cluster.layout[0]: the schedule interleaved wants the workers of a group in turn: a, b, and again, as many stages on each',
    ],
    ['data: mnist\nmodel: cnn\ncluster: {layout: [[{worker: 0}]]}', 'cluster.layout[0][0].worker: must be a whole number from 1 to 100000, found 0'],
    ['data: mnist\nmodel: cnn\ncluster: {layout: []}', 'cluster.layout'],
    ['data: mnist\nmodel: cnn\ncluster: {schedule: gpip}', 'unknown schedule "gpip"; did you mean "gpipe"?'],
    ['data: mnist\nmodel: cnn\nsync: diloc', 'job.yaml:3:1 sync.strategy: unknown strategy "diloc"; did you mean "diloco"? (one of bsp, ssp, asp, diloco, sparse-diloco, streaming-diloco, auto)'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: auto, codec: int4}', 'job.yaml:3:24 sync.codec: is for the strategies bsp, ssp, asp, diloco, sparse-diloco, streaming-diloco, not for auto'],
    ['data: mnist\nmodel: cnn\nsync: {staleness: 3}', 'job.yaml:3:8 sync.staleness: is for the strategies ssp, not for bsp'],
    [
      'data: mnist\nmodel: cnn\nsync: streaming-diloco\ncluster: {layout: [[{worker: a, blocks: 2}, {worker: b, blocks: 1}]]}',
      'job.yaml:4:11 cluster.layout: pipelines do not stream (sync.strategy streaming-diloco): give each worker the whole model, or choose diloco',
    ],
    ['data: mnist\nmodel: cnn\nsync: {strategy: diloco, fragments: 4}', 'job.yaml:3:26 sync.fragments: is for the strategies streaming-diloco, not for diloco'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: streaming-diloco, fragments: 0}', 'job.yaml:3:36 sync.fragments: must be a whole number from 1 to 64, found 0'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: streaming-diloco, mixing: 1}', 'job.yaml:3:36 sync.mixing: must be a number from 0 to 0.99, found 1'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: asp, quorum: 0.5}', 'job.yaml:3:23 sync.quorum: is for the strategies bsp, diloco, sparse-diloco, streaming-diloco, auto, not for asp'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: asp, localSteps: 0}', 'job.yaml:3:23 sync.localSteps: must be a whole number from 1 to 10000, found 0'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: bsp, localBatch: 8}', 'job.yaml:3:23 sync.localBatch: is for local steps: set localSteps'],
    ['data: mnist\nmodel: cnn\nsync: {strategy: asp, outer: {}}', 'job.yaml:3:23 sync.outer: is for local steps: set localSteps'],
    ['data: {type: csv, path: a.csv}\nmodel: mlp', 'job.yaml:1:1 data.target: is required: a text'],
    ['data: mnist\nmodel: [cnn', 'job.yaml:2:12: not valid YAML: '],
    ['data: mnist\ndata: mnist', 'job.yaml:2:1: not valid YAML: Map keys must be unique'],
    ['data: mnist\nmodel: &m {type: module, path: x.mjs, options: {again: *m}}', 'job.yaml:1:1: not valid YAML: Converting circular structure to JSON'],
    ['data: mnist\nmodel: cnn\ntrain: !!set {epochs}', 'job.yaml:3:8: not valid YAML: Unresolved tag: tag:yaml.org,2002:set'],
    ['data: mnist\nmodel: cnn\nname: !later x', 'job.yaml:3:7: not valid YAML: Unresolved tag: !later'],
    ['data: &a {type: mnist}\nmodel: cnn\ntrain: {<<: *a}', 'job.yaml:3:9 train.<<: unknown field "<<"'],
    ['', 'job.yaml:1:1: the file is empty'],
    ['just a text', 'job.yaml:1:1: must be a section with fields of its own, found "just a text"'],
  ])('%j', (text, expected) => {
    expect(problemsIn(text)[0]).toContain(expected);
  });

  it('suggests the field for any misspelling of it', () => {
    const fields = ['epochs', 'optimizer', 'learningRate', 'schedule', 'clipNorm'];
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.nat(), fc.constantFrom('x', ''), (field, at, letter) => {
        const i = at % field.length;
        const wrong = field.slice(0, i) + letter + field.slice(i + 1);
        const [problem] = problemsIn(`data: mnist\nmodel: cnn\ntrain:\n  seed: 1\n  ${wrong}: 1\n`);
        expect(problem).toContain(`job.yaml:5:3 train.${wrong}: unknown field "${wrong}"; did you mean "${field}"?`);
      }),
    );
  });

  it('keeps the meaning of any valid job over YAML and over JSON', () => {
    const document = fc.record(
      {
        name: fc.stringMatching(/^[a-z][a-z0-9 _.-]{0,20}$/),
        data: fc.constantFrom(
          'mnist',
          { type: 'gutenberg', tokenizer: 'byte', sequence: 64 },
          { type: 'csv', path: ['a.csv'], target: 'price' },
        ),
        model: fc.oneof(
          fc.record({ type: fc.constant('mlp'), hidden: fc.array(fc.integer({ min: 1, max: 4096 })) }),
          fc.constantFrom('cnn', 'gpt', { type: 'resnet', depths: [1, 2] }),
        ),
        train: fc.record(
          {
            epochs: fc.integer({ min: 1, max: 50 }),
            learningRate: fc.double({ min: 1e-6, max: 1, noNaN: true }),
            optimizer: fc.constantFrom('sgd', 'adamw', { type: 'sgd', momentum: 0.9 }),
            schedule: fc.constantFrom('cosine', { type: 'linear', warmup: 0.1 }),
          },
          { requiredKeys: [] },
        ),
        sync: fc.record({ minDeadline: fc.constantFrom('500ms', '2s', '1.5min', 9) }),
      },
      { requiredKeys: ['name', 'data', 'model'] },
    );
    fc.assert(
      fc.property(document, (value) => {
        const viaYaml = parseJobFile(stringify(value), 'job.yaml');
        expect(validateJob(JSON.parse(JSON.stringify(viaYaml)))).toEqual(validateJob(value));
      }),
    );
  });

  // benchmarks/system/fuzz-files.mjs tries more.
  it('says what is wrong with any mutant of a job, or takes it', () => {
    const text = 'name: digits\ndata: mnist\nmodel: {type: cnn, channels: [8, 16]}\ntrain: {epochs: 2, batch: 64}\nsync: {strategy: diloco, localSteps: 8, codec: int8}\n';
    const mutations = fc.array(fc.record({ at: fc.nat(text.length), remove: fc.nat(4), put: fc.string({ maxLength: 3, unit: 'binary' }) }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(mutations, (list) => {
        const mutant = list.reduce((made, { at, remove, put }) => made.slice(0, at) + put + made.slice(at + remove), text);
        try {
          validateJob(parseJobFile(mutant, 'job.yaml'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid-file' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('lets no field change what all objects have, and takes none of those names for one of its own', () => {
    const section = fc.constantFrom(undefined, 'data', 'model', 'train', 'sync', 'cluster', 'validation', 'checkpoint');
    const name = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty');
    fc.assert(
      fc.property(section, name, fc.jsonValue(), fc.boolean(), (within, field, value, asJson) => {
        const job = { data: { type: 'mnist' }, model: { type: 'cnn' }, train: {}, sync: {}, cluster: {}, validation: {}, checkpoint: {} };
        const at = within === undefined ? job : job[within];
        Object.defineProperty(at, field, { value: { polluted: value }, enumerable: true });
        const text = JSON.stringify(job);
        expect(() => (asJson ? validateJob(JSON.parse(text)) : parseJobFile(text, 'job.yaml'))).toThrow(expect.objectContaining({ code: 'invalid-file', message: expect.stringContaining(field) as string }) as Error);
        expect('polluted' in {}).toBe(false);
      }),
    );
  });

  it('resolves paths of model and data, and leaves URLs alone', () => {
    const text = 'data: {type: csv, path: [a.csv, "https://example.org/b.csv"], target: y}\nmodel: {type: keras, path: model.json}\n';
    const job = validateJob(parseJobFile(text, 'job.yaml', (path) => `/jobs/${path}`));
    expect(job.data).toMatchObject({ paths: ['/jobs/a.csv', 'https://example.org/b.csv'] });
    expect(job.model).toMatchObject({ path: '/jobs/model.json', weights: 'file' });
  });
});

describe('validateJob', () => {
  it('names the fields of a job that came as JSON', () => {
    expect(() => validateJob({ data: 'mnist', model: 'cnn', train: { batch: -1 }, extra: 1 })).toThrow(
      /train\.batch: must be .*\n.*extra: unknown field "extra"/,
    );
    expect(() => validateJob(null)).toThrow(/the job has a problem\n {2}must be a section/);
  });

  it('takes a layout, and waits for all of its workers', () => {
    const layout = [[{ worker: 'a', blocks: 3 }, { workers: ['b', 'c'], blocks: 2 }], [{ worker: 4 }]];
    const { cluster, sync } = validateJob({ data: 'mnist', model: 'cnn', cluster: { layout, microbatch: 8 } });
    const said = [[{ workers: ['a'], blocks: 3 }, { workers: ['b', 'c'], blocks: 2 }], [{ workers: [4] }]];
    expect(cluster).toMatchObject({ layout: said, microbatch: 8, minWorkers: 4, schedule: 'capped-1f1b', recompute: 'allowed' });
    expect(sync.activationCodec).toBe('fp32');
    expect(() => validateJob({ data: 'mnist', model: 'cnn', cluster: { recompute: 'alwas' } })).toThrow(/cluster\.recompute: .*"alwas".*always/);
  });

  it('keeps moments of Adam in 32 bits or in 8', () => {
    const optimizer = (fields: object) => validateJob({ data: 'mnist', model: 'cnn', train: { optimizer: { type: 'adamw', ...fields } } }).train.optimizer;
    expect(optimizer({})).toMatchObject({ stateBits: 32 });
    expect(optimizer({ stateBits: 8 })).toMatchObject({ type: 'adam', decoupled: true, stateBits: 8 });
    expect(() => optimizer({ stateBits: 16 })).toThrow(/train\.optimizer\.stateBits: must be 8 or 32, found 16/);
    expect(() => optimizer({ type: 'sgd', stateBits: 8 })).toThrow(/unknown field "stateBits"/);
  });

  it('codes activations in rows of int8, gradients and parameters as floats unless told', () => {
    const { sync } = validateJob({ data: 'mnist', model: 'cnn', sync: { activationCodec: 'int8' } });
    expect(sync).toMatchObject({ codec: 'fp32', activationCodec: 'int8' });
    expect(() => validateJob({ data: 'mnist', model: 'cnn', sync: { codec: 'int3' } })).toThrow(/sync\.codec: unknown codec "int3"/);
  });

  it('takes several stages on each worker, and waits for each worker once', () => {
    const layout = [['a', 'b', 'a', 'b'].map((worker) => ({ worker, blocks: 2 })), [{ worker: 'c' }]];
    const { cluster } = validateJob({ data: 'mnist', model: 'cnn', cluster: { layout, schedule: 'interleaved' } });
    expect(cluster.minWorkers).toBe(3);
    expect(cluster.layout![0]!.map(({ workers }) => workers)).toEqual([['a'], ['b'], ['a'], ['b']]);
  });

  it('reads units', () => {
    const { sync, cluster, checkpoint } = validateJob({
      data: 'mnist',
      model: 'cnn',
      sync: { minDeadline: '250ms' },
      cluster: { wait: '2min' },
      checkpoint: { every: 45 },
    });
    expect([sync.minDeadlineMs, cluster.waitMs, checkpoint.everyMs]).toEqual([250, 120_000, 45_000]);
  });

  it('records where it is asked to, in 2 GiB unless it says how much', () => {
    const of = (record?: object) => validateJob({ data: 'mnist', model: 'cnn', record }).record;
    expect([of(), of({}), of({ maxBytes: '3GB' }), of({ maxBytes: 5000 })]).toEqual([undefined, { maxBytes: 2 ** 31 }, { maxBytes: 3e9 }, { maxBytes: 5000 }]);
    expect(() => of({ maxBytes: 'much' })).toThrow(/record\.maxBytes: must be a size like 2GiB, found "much"/);
  });
});

describe('placeOfField', () => {
  const text = 'data: mnist\nmodel:\n  type: mlp\n  outputs: 3\n';
  it.each([
    ['model.outputs', 'job.yaml:4:3 model.outputs'],
    ['model.input', 'job.yaml:2:1 model.input'],
    ['data.type', 'job.yaml:1:1 data.type'],
    ['loss', 'job.yaml:1:1 loss'],
    ['/data/cars.csv', undefined],
  ])('finds %s, or the section that lacks it', (field, place) => expect(placeOfField(text, 'job.yaml', field)).toBe(place));
});

describe('lossy codecs', () => {
  const sync = (fields: object) => validateJob({ data: 'mnist', model: 'cnn', sync: fields }).sync;

  it('take what top-k keeps, with defaults', () => {
    expect(sync({ codec: 'top-k', topK: { density: 0.01 } }).topK).toEqual({ density: 0.01, values: 'int2', selection: 'exact' });
    expect(() => sync({ codec: 'top-k', topK: { density: 2 } })).toThrow(/sync\.topK\.density/);
  });

  it('code what comes down like what goes up, and with int8 where that would be coarser', () => {
    expect(downCodecOf(sync({ codec: 'fp16' }))).toBe('fp16');
    expect(downCodecOf(sync({ codec: 'sign' }))).toBe('int8');
    expect(downCodecOf(sync({ codec: 'sign', downCodec: 'top-k' }))).toBe('top-k');
  });
});

it('takes muon where workers step for themselves, and says why not elsewhere', () => {
  const job = (sync: object) => validateJob({ data: 'mnist', model: 'cnn', train: { optimizer: 'muon' }, sync });
  const { optimizer } = job({ strategy: 'diloco' }).train;
  expect(optimizer).toMatchObject({ type: 'adam', decoupled: true, weightDecay: 0.01, muon: { momentum: 0.95 } });
  expect(optimizer).not.toHaveProperty('momentum');
  expect(job({ strategy: 'auto' }).sync.strategy).toBe('auto');
  expect(() => job({ strategy: 'bsp' })).toThrow(/train\.optimizer: muon multiplies matrices, for which the server has no engine/);
});
