// `npm test`: set-up, the structure lint, every test. Arguments after `--` go to vitest, and then the lint is left out.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeEngine, run, setUpCode } from './setup.mjs';

const selection = process.argv.slice(2);
// Young objects that have room are collected seldom: a seventh of the linter's processor time.
const lints = [
  { name: 'eslint (module boundaries, cycles, floating promises)', args: ['--max-semi-space-size=64', 'node_modules/eslint/bin/eslint.js', '.', '--max-warnings=0'] },
  { name: 'knip (unused files, exports and dependencies)', args: ['node_modules/knip/bin/knip.js', '--no-config-hints'] },
];

let passed = 0;
let failed = 0;

/**
 * @param {string} name
 * @param {boolean} ok
 */
const count = (name, ok) => {
  console.log(`${ok ? '✓' : '✗'} ${name}`);
  ok ? passed++ : failed++;
};

async function lint() {
  // The boundary rule reads Nx's project graph from its cache, and is left out in silence where there is none.
  const { bin } = JSON.parse(readFileSync('node_modules/nx/package.json', 'utf8'));
  const nx = join('node_modules/nx', bin.nx);
  const env = { ...process.env, NX_DAEMON: 'false' };
  count('nx (project graph)', (await run(process.execPath, [nx, 'show', 'projects'], { quiet: true, env })) === 0);
  await Promise.all(lints.map(async ({ name, args }) => count(name, (await run(process.execPath, args, { env })) === 0)));
}

await setUpCode();
// A lint has one core for itself; the native engine and then the tests have the other one meanwhile.
const linted = selection.length === 0 ? lint() : undefined;
await nativeEngine();

const folder = mkdtempSync(join(tmpdir(), 'longtail-test-'));
const report = join(folder, 'report.json');
try {
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const code = await run(process.execPath, ['--import', new URL('end-with-parent.mjs', import.meta.url).href, ...vitest, ...selection], { channel: true });
  const result = JSON.parse(readFileSync(report, 'utf8'));
  passed += result.numPassedTests;
  failed += result.numFailedTests;
  // A file that does not load, or an unhandled rejection, fails the run without a failed test.
  if (code !== 0 && result.numFailedTests === 0) count('vitest ended without an error of its own', false);
} catch (error) {
  count(`vitest ran to its end (${error instanceof Error ? error.message : error})`, false);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
await linted;

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
