import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nativeEnvironment } from '@longtail/engine/native';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { installNativeEngine } from './install.js';
import { probeNativeEngine } from './probe.js';

const execFileAsync = promisify(execFile);

describe('the engine on this machine', () => {
  it('loads in a child process and multiplies, or the probe says what is missing', { timeout: 180_000 }, async () => {
    const probe = await probeNativeEngine();
    if (!probe.installable && probe.present.length === 0) {
      // No compiler or no pip here: then this is what the user must be told.
      const blocking = probe.problems.filter((problem) => problem.blocking);
      expect(blocking.length).toBeGreaterThan(0);
      for (const problem of blocking) expect(problem.fix).toMatch(/^[A-Z].*\.$/);
      await expect(installNativeEngine({ variant: 'auto', log: () => undefined })).rejects.toMatchObject({
        code: 'engine',
        hint: blocking[0]!.fix,
      });
      return;
    }
    const { path } = await installNativeEngine({ variant: probe.present[0] ?? 'auto', log: () => undefined });
    expect(readdirSync(path)).toEqual(expect.arrayContaining(['tfjs_binding.node', 'tensorflow', 'engine.json']));
    const { stdout, stderr } = await execFileAsync(process.execPath, ['--input-type=module', '-e', CHILD, BINDING_MODULE], {
      env: { ...process.env, ...nativeEnvironment() },
    });
    expect(JSON.parse(stdout)).toEqual({ backend: 'tensorflow', version: '2.21.0', product: [19, 22, 43, 50], sameTfjs: true });
    expect(stderr).toBe('');
  });
});

/** Built by `npm test` before the tests run: a child process cannot import TypeScript. */
const BINDING_MODULE = fileURLToPath(new URL('../../../libs/engine/dist/tensorflow/binding.js', import.meta.url));
const CHILD = `
  import { createRequire } from 'node:module';
  import { pathToFileURL } from 'node:url';
  const { loadTfjsNode } = await import(pathToFileURL(process.argv[1]));
  const tf = await loadTfjsNode();
  const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]]));
  const sameTfjs = createRequire(process.argv[1])('@tensorflow/tfjs').tensor === tf.tensor;
  console.log(JSON.stringify({ backend: tf.getBackend(), version: tf.backend().binding.TF_Version, product: [...product.dataSync()], sameTfjs }));
`;

/** A pip and a compiler made of shell scripts stand in for the real ones. */
describe('an installation that does not end well', () => {
  let folder: string;
  let cache: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'longtail-install-'));
    cache = join(folder, 'cache');
    vi.stubEnv('LONGTAIL_CACHE', cache);
    vi.stubEnv('CXX', '');
    vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
    program('c++', 'echo "c++ 13.0"');
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  function program(name: string, script: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  const VERSION_ANSWER = 'case "$*" in *--version*) echo "pip 24.0 from here (python 3.11)"; exit 0;; esac';

  it("gives pip's reason and what to do, and leaves nothing", async () => {
    program('python3', `${VERSION_ANSWER}; echo "ERROR: No matching distribution found" >&2; exit 1`);
    await expect(installNativeEngine({ variant: 'cpu', log: () => undefined })).rejects.toMatchObject({
      code: 'engine',
      message: expect.stringContaining('No matching distribution found'),
      hint: expect.stringContaining('PIP_INDEX_URL'),
    });
    expect(readdirSync(join(cache, 'engine'))).toEqual([]);
  });

  it('on abort ends pip with its children and leaves nothing', async () => {
    const pidFile = join(folder, 'pid');
    // The child of pip is what a plain kill of pip would leave running.
    program('python3', `${VERSION_ANSWER}; sleep 600 & echo $! > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; wait`);
    const controller = new AbortController();
    const installation = installNativeEngine({ variant: 'cpu', log: () => undefined, signal: controller.signal });
    const settled = expect(installation).rejects.toMatchObject({ code: 'cancelled' });
    const pid = await vi.waitFor(() => Number(readFileSync(pidFile, 'utf8')), { timeout: 10_000, interval: 5 });
    controller.abort();
    await settled;
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 5000, interval: 5 });
    expect(readdirSync(join(cache, 'engine'))).toEqual([]);
  });

  it('says which program is missing before it fetches anything', async () => {
    program('python3', 'exit 1');
    for (const name of ['python', 'pip3', 'pip']) program(name, 'exit 1');
    const probe = await probeNativeEngine({ variant: 'cpu' });
    expect(probe).toMatchObject({ installable: false, pip: undefined });
    await expect(installNativeEngine({ variant: 'cpu', log: () => undefined })).rejects.toMatchObject({
      code: 'engine',
      message: 'There is no pip.',
    });
  });

  it('notices a card that its driver is too old for, and still offers the processor', async () => {
    program('python3', VERSION_ANSWER);
    program('nvidia-smi', 'echo "NVIDIA GeForce RTX 3060, 470.82.01, 8.6, 12288"');
    const probe = await probeNativeEngine();
    expect(probe).toMatchObject({ variant: 'cpu', problems: [{ part: 'cuda', blocking: false }] });
  });

  it('with auto turns to the processor when CUDA cannot be had, and says so', async () => {
    program('python3', `${VERSION_ANSWER}; for last; do :; done; echo "ERROR: no $last" >&2; exit 1`);
    program('nvidia-smi', 'echo "NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564"');
    const lines: string[] = [];
    const installation = installNativeEngine({ variant: 'auto', log: (line) => lines.push(line) });
    await expect(installation).rejects.toMatchObject({ message: expect.stringContaining('no tensorflow-cpu==2.21.0') });
    expect(lines).toContainEqual(expect.stringMatching(/CUDA cannot be installed: .* Installing the one for the processor/));
  });

  it('takes CUDA for a card that works', async () => {
    program('python3', VERSION_ANSWER);
    program('nvidia-smi', 'echo "NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564"');
    expect(await probeNativeEngine()).toMatchObject({ variant: 'cuda', target: { requirement: 'tensorflow==2.21.0' } });
  });
});

/** A process that has ended but was not waited for (a zombie) does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
