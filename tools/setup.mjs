// Brings a checkout to the point where `npx longtail` works: packages, generated code, build, bundle, native engine.
// Plain JavaScript without dependencies: it runs before anything is installed. Idempotent; seconds when nothing changed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const STAMP = `${root}/node_modules/.longtail-packages`;

/**
 * @param {string} command
 * @param {string[]} args
 * @param {{ quiet?: boolean, env?: NodeJS.ProcessEnv, channel?: boolean }} [options] quiet: show the output only when it fails; channel: a Node process, which hears that this one is gone
 * @returns {Promise<number>} the exit code
 */
export function run(command, args, { quiet = false, env = process.env, channel = false } = {}) {
  return new Promise((resolve, reject) => {
    // On Windows npm is a .cmd, which Node starts by a shell only (since 20.12.2).
    const shell = command.endsWith('.cmd');
    const output = quiet ? 'pipe' : 'inherit';
    const child = spawn(command, args, { cwd: root, env, shell, stdio: ['ignore', output, output, ...(channel ? ['ipc'] : [])] });
    /** @type {Buffer[]} */
    const said = [];
    child.stdout?.on('data', (chunk) => said.push(chunk));
    child.stderr?.on('data', (chunk) => said.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code !== 0) process.stderr.write(Buffer.concat(said));
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1));
    });
  });
}

/** @param {string} message */
const say = (message) => process.stderr.write(`set-up: ${message}\n`);

/**
 * @param {string} what
 * @param {() => Promise<number>} work
 */
async function step(what, work) {
  say(`${what} …`);
  const start = Date.now();
  const code = await work();
  if (code !== 0) {
    say(`${what} failed (exit code ${code}); what it printed stands above`);
    process.exit(code);
  }
  say(`${what}: done in ${((Date.now() - start) / 1000).toFixed(1)} s`);
}

const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

async function packages() {
  const lock = createHash('sha256').update(readFileSync(`${root}/package-lock.json`)).digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === lock) return;
  // Not `npm ci`: it refuses a lock file that was written where some platform's optional binary was not to be had.
  // With --no-save the lock is read and never written.
  await step('installing npm packages (about a minute)', () =>
    run(npm, ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], { quiet: true }),
  );
  writeFileSync(STAMP, lock);
}

async function build() {
  const node = process.execPath;
  const generators = ['libs/protocol/build.mjs', 'libs/kernels/build.mjs'];
  const generated = await Promise.all(generators.map((generator) => run(node, [generator], { quiet: true })));
  if (generated.some((code) => code !== 0)) process.exit(1);
  // One compiler run over all projects: a run for each costs ten times as much when nothing changed.
  const compile = () => run(node, ['node_modules/typescript/bin/tsc', '--build'], { quiet: true });
  if (existsSync(`${root}/apps/cli/dist/main.js`)) {
    if ((await compile()) !== 0) process.exit(1);
  } else {
    await step('compiling', compile);
  }
  // Never fatal: without it processes run what the compiler made, and start more slowly.
  const { currentBundle } = await import('../apps/cli/dist/current-bundle.js');
  if (currentBundle(root) !== undefined) return;
  if ((await run(node, ['tools/bundle.mjs'], { quiet: true })) !== 0) say('bundling failed; going on without, processes start more slowly');
}

/** Never fatal: without it the next engine is used, and the command says what is missing. */
export async function nativeEngine() {
  const code = await run(process.execPath, ['apps/cli/bin/longtail.mjs', 'engine', 'install', '--if-possible']);
  if (code === 130) process.exit(code);
  if (code !== 0) say('the native engine could not be installed; going on with the next best (see `npx longtail doctor`)');
}

/** Packages, generated code, build and bundle: all but the native engine. */
export async function setUpCode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 11)) {
    say(`Node ${process.versions.node} is too old; Longtail needs 20.11 or newer`);
    process.exit(1);
  }
  await packages();
  await build();
}

export async function setUp() {
  await setUpCode();
  await nativeEngine();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--build-only')) await build();
  else await setUp();
}
