import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { bundlesOf, currentBundle, type BundleManifest } from '../current-bundle.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const COMPILED = 'libs/core/dist/.tsbuildinfo';

/** A checkout whose dist and bundle say what they are. */
function checkout(): string {
  const root = mkdtempSync(join(tmpdir(), 'longtail-bundle-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('package.json', '{ "type": "module" }');
  write(COMPILED, '{}');
  write('apps/cli/dist/main.js', 'console.log("dist")');
  write('apps/cli/dist/bundles/a/main.js', 'console.log("bundle")');
  const { size, mtimeMs } = statSync(join(root, COMPILED));
  write(
    'apps/cli/dist/bundles/current.json',
    JSON.stringify({ main: 'a/main.js', parts: [[COMPILED, size, mtimeMs]] } satisfies BundleManifest),
  );
  mkdirSync(join(root, 'apps/cli/bin'));
  for (const path of ['apps/cli/bin/longtail.mjs', 'apps/cli/dist/current-bundle.js']) copyFileSync(join(ROOT, path), join(root, path));
  return root;
}

async function runs(root: string): Promise<string> {
  return (await run(process.execPath, [join(root, 'apps/cli/bin/longtail.mjs')])).stdout.trim();
}

test('a command runs from the bundle, and from dist where the compiler has written since', async () => {
  const root = checkout();
  expect(await runs(root)).toBe('bundle');
  writeFileSync(join(root, COMPILED), '{ }');
  expect(await runs(root)).toBe('dist');
});

test.each([
  ['there is no bundle', (root: string) => rmSync(bundlesOf(root).folder, { recursive: true })],
  ['a project is gone that it was made of', (root: string) => rmSync(join(root, COMPILED))],
  ['what says so is damaged', (root: string) => writeFileSync(bundlesOf(root).manifest, '{')],
])('from dist where %s', async (_, damage) => {
  const root = checkout();
  damage(root);
  expect(await runs(root)).toBe('dist');
});

let main: string;

beforeAll(async () => {
  if (currentBundle(ROOT) === undefined) await run(process.execPath, [join(ROOT, 'tools/bundle.mjs')]);
  main = currentBundle(ROOT)!;
});

test('the bundle answers as dist does', async () => {
  for (const args of [['--help'], ['bench', 'devices']]) {
    const [bundled, compiled] = await Promise.all(
      [main, join(ROOT, 'apps/cli/dist/main.js')].map((path) => run(process.execPath, [path, ...args])),
    );
    expect(bundled).toEqual(compiled);
  }
});

test('what it loads of ours and starts threads and processes with is in it: no module is there twice', () => {
  const files = readdirSync(dirname(main));
  const started = new Set<string>();
  for (const name of files) {
    const text = readFileSync(join(dirname(main), name), 'utf8');
    for (const [, imported] of text.matchAll(/^(?:import|export) [^;]*?["']([^"']+)["'];$/gm)) {
      expect(
        imported!.startsWith('./') ? files.includes(imported!.slice(2)) : !/^(@longtail|\.|\/)/.test(imported!),
        `${name} imports ${imported}`,
      ).toBe(true);
    }
    for (const [, path] of text.matchAll(/new URL\("\.\/([^"]+)", import\.meta\.url\)/g)) started.add(path!);
  }
  expect([...started].filter((name) => !files.includes(name))).toEqual([]);
  const entries = [
    'apps-cli-process-engine-probe',
    'apps-parameter-server-inspect-thread',
    'apps-parameter-server-layout-thread',
    'apps-parameter-server-main',
    'apps-worker-compute-thread',
    'apps-worker-main',
    'libs-lab-arm-process',
    'libs-lab-thread',
  ];
  expect([...started].sort()).toEqual(entries.map((entry) => `${entry}.js`));
});
