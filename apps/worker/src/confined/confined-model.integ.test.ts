import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSignature } from '@longtail/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { confinedModel, findMechanism, type ConfinedOptions } from './confined-model.js';
import { confine, mechanisms, type Mechanism } from './sandbox.js';

const folder = mkdtempSync(join(tmpdir(), 'longtail-modules-'));
const data: DataSignature = { inputShape: [5], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 3 };
const LIMITS = { cpuSeconds: 2, memoryBytes: 2 ** 30 };

let connections = 0;
const neighbour = createServer(() => connections++);
let port: number;
beforeAll(async () => {
  process.env.LONGTAIL_CANARY = 'canary-7f3a';
  await new Promise<void>((resolve) => neighbour.listen(0, '127.0.0.1', resolve));
  ({ port } = neighbour.address() as AddressInfo);
});
afterAll(() => {
  delete process.env.LONGTAIL_CANARY;
  neighbour.close();
  rmSync(folder, { recursive: true });
});

function module(name: string, text: string): string {
  const path = join(mkdtempSync(join(folder, 'one-')), name);
  writeFileSync(path, text);
  chmodSync(join(path, '..'), 0o755);
  return path;
}

/** What the attempts of a burglar came to: the code of the error, or `done`. */
const BURGLAR = `
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
const attempts = {
  passwords: () => readFileSync('/etc/passwd'),
  environment: () => readFileSync('/proc/self/environ'),
  home: () => readdirSync('/root'),
  root: () => writeFileSync('/x', 'x'),
  beside: () => writeFileSync('/module/x', 'x'),
  scratch: () => writeFileSync('/tmp/x', 'x'),
  shell: () => { const { error } = spawnSync('/bin/sh', ['-c', 'true']); if (error) throw error; },
  user: () => process.setuid(0),
  others: () => process.kill(PARENT, 'SIGTERM'),
  neighbour: () => new Promise((resolve, reject) => connect(PORT, '127.0.0.1').on('connect', resolve).on('error', reject)),
  secrets: () => { if (!JSON.stringify(process.env).includes('canary-7f3a')) throw { code: 'EMPTY' }; },
};
export const results = {};
for (const [name, attempt] of Object.entries(attempts)) results[name] = await Promise.resolve().then(attempt).then(() => 'done', ({ code }) => code);
`;

const burglar = (): string => BURGLAR.replace('PARENT', String(process.pid)).replace('PORT', String(port));

/** Runs Node behind the walls alone, without its own permissions. */
async function behind(mechanism: Mechanism, path: string): Promise<string> {
  const command = await confine(mechanism, [{ from: join(path, '..'), to: '/module' }], LIMITS, ['/module/burglar.mjs']);
  const child = spawn(command.file, command.args, { env: command.env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  command.dispose();
  return said;
}

let mechanism: Mechanism;

async function run(path: string, options: Partial<ConfinedOptions> = {}): Promise<unknown> {
  return confinedModel({ mechanism, limits: LIMITS, ...options }, path, { options: {}, purpose: { ...data, loss: 'cross-entropy' } }, new AbortController().signal);
}

if (mechanisms().length === 0) {
  test('a machine that cannot confine says so', async () => {
    await expect(findMechanism()).rejects.toMatchObject({ code: 'refused', where: '--allow-code=confined', hint: expect.stringContaining('trusted') as string });
  });
}

describe.runIf(mechanisms().length > 0)('a module behind walls', () => {
  test('the walls are tried out, and tight', async () => {
    const found = await findMechanism();
    mechanism = found.mechanism;
    expect(mechanisms()).toContain(mechanism);
    expect(found.walls).toMatchObject({ environment: [], networks: [] });
    if (process.getuid!() === 0 && mechanism === 'namespaces') expect(found.walls.user).toBeGreaterThan(1000);
  });

  test('reaches nothing by the walls alone', async () => {
    const results = JSON.parse(await behind(mechanism, module('burglar.mjs', `${burglar()}\nconsole.log(JSON.stringify(results));`))) as Record<string, string>;
    expect(results).toEqual({
      passwords: 'ENOENT',
      environment: 'ENOENT',
      home: 'ENOENT',
      root: 'EROFS',
      beside: 'EROFS',
      scratch: expect.stringMatching(/EROFS|ENOENT/) as string,
      shell: 'ENOENT',
      user: expect.stringMatching(/EPERM|EINVAL/) as string,
      others: 'ESRCH',
      neighbour: expect.stringMatching(/ENETUNREACH|ECONNREFUSED/) as string,
      secrets: 'EMPTY',
    });
    expect(connections).toBe(0);
  });

  test('reaches nothing as a model either, and leaves nothing', async () => {
    const path = module('burglar.mjs', `${burglar()}\nexport default () => { throw new Error(Object.entries(results).filter(([, code]) => code === 'done').map(([name]) => name).join() || 'nothing'); };`);
    await expect(run(path)).rejects.toMatchObject({ code: 'invalid-file', message: 'its factory failed: nothing', where: expect.stringMatching(/^burglar\.mjs:\d+$/) as string });
    expect(readdirSync(join(path, '..'))).toEqual(['burglar.mjs']);
    expect(connections).toBe(0);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('longtail-confined-'))).toEqual([]);
  });

  const apply = (body: string): string => `export default (options, data) => ({
  inputShape: data.inputShape, inputType: 'float32',
  blocks: [{ name: 'odd', parameters: [], outputShape: () => [3], apply: ({ tf }, x) => {
    ${body}
  } }],
});`;
  test.each<[string, string, string, RegExp, Partial<ConfinedOptions>?]>([
    ['throws', 'throws.mjs', apply('return x.nothing.there;'), /^block odd: Cannot read properties of undefined/],
    ['gives another shape', 'shape.mjs', apply('return x;'), /^block odd: its apply gives a batch of \[5\], float32/],
    ['turns for ever', 'spins.mjs', apply('for (;;);'), /^block odd: it was killed: it takes more than 2 s of processor time/],
    ['waits for ever', 'waits.mjs', 'export default () => new Promise(() => setInterval(() => {}, 1000));', /it was not done after 500 ms$/, { patienceMs: 500 }],
    ['takes 4 GiB', 'takes.mjs', 'export default () => Array.from({ length: 4 }, () => new Uint8Array(2 ** 30).fill(1));', /allocation failed|memory/],
    ['prints without end', 'prints.mjs', "import { writeSync } from 'node:fs'; export default () => { for (;;) writeSync(1, 'x'.repeat(65536)); };", /it prints more than 1.0 MiB$/],
    ['ends its process', 'ends.mjs', 'export default () => process.exit(5);', /^its factory: it ended its process with exit code 5$/],
    ['makes values that are not finite', 'nan.mjs', "export default (o, data) => ({ inputShape: data.inputShape, inputType: 'float32', blocks: [{ name: 'odd', parameters: [{ name: 'w', shape: [2], init: { kind: 'values', values: [1, NaN] } }], outputShape: (s) => s, apply: (_, x) => x }] });", /^block odd: parameter w begins with values that are not finite/],
    ['answers itself', 'forges.mjs', "import { writeSync } from 'node:fs'; writeSync(3, JSON.stringify({ reply: 'model', model: { format: 1, blocks: [], constructor: 1 } }) + '\\n'); process.exit(0);", /^what the module left is no model: inputShape/],
    ['writes to the terminal in its error', 'escapes.mjs', "export default () => { throw new Error('\\u001b[2J\\u0007gone'); };", /^its factory failed:  \[2J gone$/],
  ])('that %s is told what it did', async (_, name, text, message, options) => {
    await expect(run(module(name, text), options)).rejects.toMatchObject({ code: 'invalid-file', message: expect.stringMatching(message) as string, where: expect.stringMatching(new RegExp(`^${name}(:\\d+)?$`)) as string });
  });

  test('names the line, also of TypeScript', async () => {
    const text = `interface Gone { readonly a: number }\nenum Kind { A = 1 }\n${apply('const y = x as unknown as Gone & { b: { c: never } };\n    return y.b.c;')}`;
    await expect(run(module('typed.ts', text), { limits: { ...LIMITS, cpuSeconds: 20 } })).rejects.toMatchObject({ where: 'typed.ts:7' });
  });
});
