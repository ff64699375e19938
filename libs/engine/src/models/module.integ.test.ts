import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { ModelPurpose } from '../block.js';
import { writeModuleModel } from '../conformance/module-model.js';
import { createModel } from './create.js';

const folder = mkdtempSync(join(tmpdir(), 'longtail-module-'));
afterAll(() => rmSync(folder, { recursive: true }));

const purpose: ModelPurpose = { inputShape: [5], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 3, loss: 'cross-entropy' };

function load(path: string, options: Record<string, unknown> = {}): ReturnType<typeof createModel> {
  return createModel({ type: 'module', path, options }, purpose);
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

test('a TypeScript module with an import of its own, an enum and options', async () => {
  const model = await load(writeModuleModel(folder), { width: 7 });
  expect(model.blocks.map((block) => [block.name, block.parameters[0].shape])).toEqual([
    ['hidden', [5, 7]],
    ['output', [7, 3]],
  ]);
});

test('a JavaScript module', async () => {
  const block = "{ name: 'only', parameters: [], outputShape: () => [3], apply: (_, x) => x }";
  const model = await load(file('plain.mjs', `export default async (options, data) => ({ inputShape: data.inputShape, inputType: 'float32', blocks: [${block}] });`));
  expect(model.blocks.map(({ name }) => name)).toEqual(['only']);
});

describe('errors name the file', () => {
  test.each([
    ['no default', 'export const model = 1;', 'the model module has no factory'],
    ['no blocks', "export default () => ({ inputShape: [5], inputType: 'float32' });", 'no list of blocks'],
    ['a factory that throws', "export default () => { throw new Error('width?'); };", 'its factory failed: width?'],
    ['a nameless block', "export default () => ({ inputShape: [5], inputType: 'float32', blocks: [{}] });", 'block 0 has no name'],
    ['a parameter without init', "export default () => ({ inputShape: [5], inputType: 'float32', blocks: [{ name: 'a', apply() {}, outputShape() {}, parameters: [{ name: 'w', shape: [2] }] }] });", 'parameter w needs init'],
    ['a missing import', "import './nowhere.js'; export default 1;", 'it imports ./nowhere.js, which does not exist'],
  ])('%s', async (name, text, message) => {
    const path = file(`${name.replaceAll(' ', '-')}.ts`, text);
    await expect(load(path)).rejects.toMatchObject({ name: 'LongtailError', message: expect.stringContaining(message) as string, where: path });
  });

  test('a syntax error, with its line', async () => {
    const path = file('broken.ts', 'const a = 1;\nconst b = = 2;\n');
    await expect(load(path)).rejects.toMatchObject({ code: 'invalid-file', where: `${path}:2:11` });
  });

  test('a file that is not there', async () => {
    await expect(load(join(folder, 'absent.ts'))).rejects.toMatchObject({ code: 'missing-file', where: join(folder, 'absent.ts') });
  });

  test('imports in a circle', async () => {
    file('one.ts', "import './two.js'; export default 1;");
    file('two.ts', "import './one.js';");
    await expect(load(join(folder, 'one.ts'))).rejects.toThrow('import each other in a circle');
  });
});
