import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { formatBytes, formatSeconds, LongtailError } from '@longtail/core';
import {
  fusedOpsPath,
  nativeBindingPath,
  nativeEngineFolder,
  TENSORFLOW_VERSION,
  TFJS_VERSION,
  type NativeVariant,
} from '@longtail/engine/native';
import nodeApiHeaders from 'node-api-headers';
import { run, throwIfCancelled } from './child.js';
import { compileAddons, type Compiler } from './compiler.js';
import { withLock } from './lock.js';
import { cudaLibraries } from './nvidia.js';
import { removeOutdated } from './outdated.js';
import { downloadWheels, type Pip } from './pip.js';
import { probeNativeEngine, type NativeEngineProbe } from './probe.js';
import { requirementsOfExtra } from './requirements.js';
import { bindingSources, opsSources } from './sources.js';
import type { BuildTarget } from './target.js';
import { extractWheel, neededOfNvidia, neededOfTensorflow } from './wheel.js';

const GROWTH_REPORT_MS = 5000;

export interface InstallOptions {
  /** `auto`: CUDA when a usable NVIDIA card is there, and the processor's if that fails. */
  readonly variant: 'auto' | NativeVariant;
  /** Told each phase in one line. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Build again even if it is there. */
  readonly force?: boolean;
}

export interface InstallResult {
  readonly status: 'installed' | 'present';
  readonly variant: NativeVariant;
  /** The engine's folder in the cache. */
  readonly path: string;
  readonly seconds: number;
}

/**
 * Puts the TensorFlow binding into the per-user cache: fetches libtensorflow in its Python wheel, compiles the C++
 * sources that `@tensorflow/tfjs-node-gpu` ships and those of the fused ops against it, and checks that the result loads. The engine appears in the
 * cache whole or not at all; of several installations at once one does the work and the others wait for it.
 *
 * @throws LongtailError `engine`: something is missing (the hint says how to get it) or failed; `cancelled`: on abort,
 *   after the children have ended and the temporary files are gone.
 */
export async function installNativeEngine(options: InstallOptions): Promise<InstallResult> {
  const { log, signal, force = false } = options;
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const probe = await probeNativeEngine({ variant: options.variant, signal });
  try {
    const outcome = await installVariant(probe, { log, signal, force });
    if (outcome.status === 'installed') log(`The TensorFlow engine (${outcome.variant}) is installed after ${formatSeconds(seconds())}.`);
    return { ...outcome, seconds: seconds() };
  } catch (error) {
    if (options.variant !== 'auto' || probe.variant !== 'cuda' || signal?.aborted) throw error;
    const { message, hint } = LongtailError.from(error);
    log([`The engine for CUDA cannot be installed: ${message}`, hint, 'Installing the one for the processor.'].filter(Boolean).join(' '));
    const fallback = await installNativeEngine({ ...options, variant: 'cpu' });
    return { ...fallback, seconds: seconds() };
  }
}

async function installVariant(
  probe: NativeEngineProbe,
  { log, signal, force }: { log: (line: string) => void; signal?: AbortSignal; force: boolean },
): Promise<Omit<InstallResult, 'seconds'>> {
  const path = nativeEngineFolder(probe.variant);
  const present = { status: 'present', variant: probe.variant, path } as const;
  if (isInstalled(path) && !force) return present;
  const blocking = probe.problems.find((problem) => problem.blocking);
  if (blocking) throw new LongtailError(blocking.message, { code: 'engine', hint: blocking.fix });
  await mkdir(dirname(path), { recursive: true });
  const onWait = (pid: number): void => log(`Another installation (process ${pid}) is running; waiting for it.`);
  const work = async (): Promise<Omit<InstallResult, 'seconds'>> => {
    if (isInstalled(path) && !force) return present;
    await buildIntoCache({ path, target: probe.target!, compiler: probe.compiler!, pip: probe.pip!, log, signal });
    await removeOutdated(path);
    return { ...present, status: 'installed' };
  };
  return withLock(`${path}.lock`, work, { signal, onWait });
}

function isInstalled(path: string): boolean {
  return existsSync(nativeBindingPath(path));
}

interface Build {
  readonly path: string;
  readonly target: BuildTarget;
  readonly compiler: Compiler;
  readonly pip: Pip;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Builds in a folder beside the final one, which is on the same disk, and renames it when all is well. */
async function buildIntoCache(build: Build): Promise<void> {
  await removeAbandoned(build.path);
  const folder = `${build.path}.building-${randomUUID()}`;
  try {
    await mkdir(folder);
    const engine = join(folder, 'engine');
    const wheel = await fetchLibraries(build, folder, engine);
    await compile(build, folder, engine);
    await checkLoads(engine, build.signal);
    await writeManifest(build, engine, wheel);
    await publish(engine, build.path, folder);
  } catch (error) {
    throwIfCancelled(build.signal);
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a killed installation left: this process holds the lock, so nobody is at work in them. */
async function removeAbandoned(path: string): Promise<void> {
  const prefix = `${basename(path)}.building-`;
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(prefix));
  await Promise.all(names.map((name) => rm(join(dirname(path), name), { recursive: true, force: true })));
}

/** Lays out libtensorflow, with CUDA also NVIDIA's libraries, as in a Python `site-packages`: their own run paths rely on it. */
async function fetchLibraries(build: Build, folder: string, engine: string): Promise<string> {
  const { target, log, signal } = build;
  log(`Downloading ${target.requirement} with pip ${build.pip.version} (${target.variant === 'cpu' ? '0.3' : '0.6'} GB) …`);
  const [wheel] = await download(build, folder, [target.requirement]);
  log(`Unpacking ${basename(wheel!)} …`);
  const members = await extractWheel(wheel!, engine, neededOfTensorflow(target), signal);
  await rm(wheel!);
  const missing = target.libraries.filter((name) => !members.includes(`tensorflow/${name}`));
  if (missing.length > 0) {
    throw new LongtailError(`${basename(wheel!)} does not hold ${missing.join(', ')}.`, {
      code: 'engine',
      hint: 'The package index serves another build of TensorFlow; use its official wheel, or another engine: `--engine wasm`.',
    });
  }
  if (target.variant === 'cuda') await fetchCuda(build, folder, engine, members);
  return basename(wheel!);
}

async function fetchCuda(build: Build, folder: string, engine: string, members: readonly string[]): Promise<void> {
  const metadata = members.find((member) => member.endsWith('.dist-info/METADATA'));
  const requirements = metadata === undefined ? [] : requirementsOfExtra(await readFile(join(engine, metadata), 'utf8'), 'and-cuda');
  if (requirements.length === 0) {
    throw new LongtailError("TensorFlow's wheel does not say which CUDA libraries it needs.", {
      code: 'engine',
      hint: 'Install the engine without CUDA: `longtail engine install --cpu`.',
    });
  }
  build.log(`Downloading ${requirements.length} CUDA libraries with pip (2.5 GB) …`);
  for (const wheel of await download(build, folder, requirements)) {
    build.log(`Unpacking ${basename(wheel)} …`);
    await extractWheel(wheel, engine, neededOfNvidia, build.signal);
    await rm(wheel);
  }
}

async function download(build: Build, folder: string, requirements: readonly string[]): Promise<string[]> {
  const wheels = join(folder, 'wheels');
  const stopReports = reportGrowth(folder, build.log);
  try {
    return await downloadWheels(build.pip, {
      requirements,
      folder: wheels,
      platforms: build.target.wheelPlatforms,
      signal: build.signal,
    });
  } finally {
    stopReports();
  }
}

/** Says every few seconds how much has come: pip writes its progress for terminals only. */
function reportGrowth(folder: string, log: (line: string) => void): () => void {
  let before: number | undefined;
  const timer = setInterval(() => {
    void folderBytes(folder).then((bytes) => {
      if (before !== undefined && bytes > before) log(`… ${formatBytes(bytes)}`);
      before = bytes;
    });
  }, GROWTH_REPORT_MS);
  return () => clearInterval(timer);
}

async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  // A file may be gone between the listing and here.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        (stats) => (stats.isFile() ? stats.size : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The binding and the fused ops at once, as addons of their own: the ops go first, without libtensorflow_cc. */
async function compile(build: Build, folder: string, engine: string): Promise<void> {
  const { target, compiler, log, signal } = build;
  log(`Compiling the binding with ${compiler.version} …`);
  const libraries = target.libraries.map((name) => `tensorflow/${name}`);
  const [, framework] = libraries;
  if (target.variant === 'cuda') libraries.push(...(await cudaLibraries(engine)));
  const common = {
    platform: target.platform,
    includeFolders: [join(engine, 'tensorflow', 'include'), nodeApiHeaders.include_dir],
  };
  const addons = [
    { name: 'binding', sources: await bindingSources(target.variant), libraries, output: nativeBindingPath(engine) },
    { name: 'ops', sources: await opsSources(process.arch), libraries: [framework!], output: fusedOpsPath(engine) },
  ];
  const builds = addons.map(({ name, ...addon }) => ({ ...common, ...addon, workFolder: join(folder, 'objects', name) }));
  await compileAddons(compiler, builds, signal);
  await rm(join(engine, 'tensorflow', 'include'), { recursive: true });
}

/** In another process, since a library that does not fit this machine may take the process down. */
async function checkLoads(engine: string, signal?: AbortSignal): Promise<void> {
  const script = 'require(process.argv[1]); process.stdout.write(String(require(process.argv[2]).TF_Version))';
  const env = { ...process.env, NODE_OPTIONS: '', TF_CPP_MIN_LOG_LEVEL: '2' };
  const { code, stdout, stderr } = await run(process.execPath, ['-e', script, fusedOpsPath(engine), nativeBindingPath(engine)], {
    signal,
    env,
  });
  if (code === 0 && stdout === TENSORFLOW_VERSION) return;
  const reason = stderr.split('\n').find((line) => line.startsWith('Error:')) ?? (stderr.trim() || stdout);
  throw new LongtailError(`The TensorFlow binding was built, but does not load: ${reason}`, {
    code: 'engine',
    hint: 'Use another engine: `--engine wasm`.',
  });
}

/** For people who look into the cache; nothing reads it. */
async function writeManifest(build: Build, engine: string, wheel: string): Promise<void> {
  const manifest = {
    variant: build.target.variant,
    tfjs: TFJS_VERSION,
    tensorflow: TENSORFLOW_VERSION,
    wheel,
    compiler: build.compiler.version,
    node: process.version,
  };
  await writeFile(join(engine, 'engine.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** An engine that is replaced goes aside first; processes that use it keep their open files. */
async function publish(engine: string, path: string, folder: string): Promise<void> {
  if (existsSync(path)) await rename(path, join(folder, 'replaced'));
  await rename(engine, path);
}
