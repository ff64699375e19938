import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeFiles } from '@longtail/store';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modelFiles, servedFile } from './served-files.js';

const { signal } = new AbortController();
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-served-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('servedFile', () => {
  it('reads any piece of the file', async () => {
    const content = Uint8Array.from({ length: 1000 }, (_, i) => i);
    const path = join(folder, 'rows.csv');
    await writeFile(path, content);
    const file = servedFile({ name: 'data/0-rows.csv', bytes: 1000, sha256: '', path });
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        expect(file.read(from, to - from)).toEqual(content.subarray(from, to));
      }),
    );
    await truncate(path, 10);
    expect(() => file.read(5, 100)).toThrow(expect.objectContaining({ code: 'missing-file' }));
    await rm(path);
    expect(() => file.read(0, 1)).toThrow(expect.objectContaining({ code: 'missing-file' }));
  });
});

describe('modelFiles', () => {
  const model = (weights: 'file' | 'fresh') => ({ type: 'keras', path: join(folder, 'model.json'), weights }) as const;

  it('names a topology and the weights that its manifest names, where that has them', async () => {
    const topology = JSON.stringify({ modelTopology: {}, weightsManifest: [{ paths: ['shards/group1-shard1of1.bin'], weights: [] }] });
    await writeFile(join(folder, 'model.json'), topology);
    await mkdir(join(folder, 'shards'));
    await writeFile(join(folder, 'shards', 'group1-shard1of1.bin'), 'weights');
    expect(await modelFiles(model('file'), nodeFiles(), signal)).toEqual([
      { name: 'model/model.json', path: join(folder, 'model.json'), bytes: topology.length, sha256: sha256(topology) },
      { name: 'model/shards/group1-shard1of1.bin', path: join(folder, 'shards', 'group1-shard1of1.bin'), bytes: 7, sha256: sha256('weights') },
    ]);
    expect(await modelFiles(model('fresh'), nodeFiles(), signal)).toHaveLength(1);
  });

  it('says what is wrong with a topology', async () => {
    await expect(modelFiles(model('file'), nodeFiles(), signal)).rejects.toMatchObject({
      code: 'missing-file',
      where: join(folder, 'model.json'),
    });
    for (const text of ['{', 'null', '{"weightsManifest": 5}', '{"weightsManifest": [{}]}', '{"weightsManifest": [{"paths": [null]}]}']) {
      await writeFile(join(folder, 'model.json'), text);
      await expect(modelFiles(model('file'), nodeFiles(), signal)).rejects.toMatchObject({ code: 'invalid-file', where: join(folder, 'model.json') });
    }
  });

  it.each(['../secret.bin', '/etc/hostname', 'shards/../../secret.bin', '..\\secret.bin'])('serves nothing that a manifest finds elsewhere: %s', async (path) => {
    await mkdir(join(folder, 'export'));
    await writeFile(join(folder, 'secret.bin'), 'not of the model');
    await writeFile(join(folder, 'export', 'model.json'), JSON.stringify({ weightsManifest: [{ paths: [path] }] }));
    await expect(modelFiles({ ...model('file'), path: join(folder, 'export', 'model.json') }, nodeFiles(), signal)).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(JSON.stringify(path)) as string,
    });
  });

  it('serves a module as it is, unless it is more than code', async () => {
    const path = join(folder, 'model.mjs');
    await writeFile(path, 'export default 1;');
    const module = { type: 'module', path, options: {} } as const;
    expect(await modelFiles(module, nodeFiles(), signal)).toEqual([{ name: 'model/model.mjs', path, bytes: 17, sha256: sha256('export default 1;') }]);
    await truncate(path, 5 * 2 ** 20);
    await expect(modelFiles(module, nodeFiles(), signal)).rejects.toMatchObject({ code: 'invalid-file', where: path });
  });

  it('needs none for models that are built in', async () => {
    expect(await modelFiles({ type: 'mlp', hidden: [3] }, nodeFiles(), signal)).toEqual([]);
  });
});
