import { setMaxListeners } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { NAPI_VERSION } from '@longtail/engine/native';
import { run } from './child.js';
import { eachInTurn } from './each-in-turn.js';

export interface Compiler {
  readonly command: string;
  /** First line of its `--version`. */
  readonly version: string;
}

/** `$CXX`, else the first C++ compiler on the path. */
export async function findCompiler(signal?: AbortSignal): Promise<Compiler | undefined> {
  // On macOS, /usr/bin/c++ without the command line tools opens a dialog; xcode-select tells without one.
  if (process.platform === 'darwin' && (await run('xcode-select', ['-p'], { signal })).code !== 0) return undefined;
  const candidates = [process.env.CXX, 'c++', 'g++', 'clang++'].filter((name) => name !== undefined && name !== '');
  for (const command of candidates as string[]) {
    const { code, stdout } = await run(command, ['--version'], { signal });
    if (code === 0) return { command, version: stdout.split('\n')[0]!.trim() };
  }
  return undefined;
}

/** A C++ file, and what to tell the compiler for it. */
export interface Source {
  readonly path: string;
  /** Name of its object file, without `.o`. */
  readonly object: string;
  readonly flags: readonly string[];
}

export interface AddonBuild {
  readonly platform: 'linux' | 'darwin';
  readonly sources: readonly Source[];
  readonly includeFolders: readonly string[];
  /** Folder for objects and link stubs; the caller removes it. */
  readonly workFolder: string;
  /** Shared libraries as paths relative to the folder of the addon. */
  readonly libraries: readonly string[];
  /** The addon to make. */
  readonly output: string;
}

/** Compiles the sources of all addons, one a core at a time, and links each addon. */
export async function compileAddons(compiler: Compiler, builds: readonly AddonBuild[], signal?: AbortSignal): Promise<void> {
  const commands = (await Promise.all(builds.map(objectCommands))).flat();
  const cores = availableParallelism();
  const own = signal && AbortSignal.any([signal]);
  if (own) setMaxListeners(cores, own); // each compiler listens; Node warns of more than ten
  await eachInTurn(commands, cores, (args) => runCompiler(compiler, args, own));
  await eachInTurn(builds, cores, (build) => runCompiler(compiler, linkCommand(build), own));
}

async function objectCommands(build: AddonBuild): Promise<string[][]> {
  await mkdir(build.workFolder, { recursive: true });
  const emptySource = join(build.workFolder, 'empty.cc');
  await writeFile(emptySource, '');
  const stubs = build.platform === 'linux' ? build.libraries.map((library) => stubCommand(library, emptySource, build)) : [];
  return [...build.sources.map((source) => compileCommand(source, build)), ...stubs];
}

async function runCompiler(compiler: Compiler, args: readonly string[], signal?: AbortSignal): Promise<void> {
  const { code, stderr } = await run(compiler.command, args, { signal });
  if (code === 0) return;
  const reason = stderr.split('\n').find((line) => /\berror\b/i.test(line)) ?? stderr.trim().split('\n').at(-1);
  throw new LongtailError(`The C++ compiler could not build the TensorFlow binding: ${reason}`, {
    code: 'engine',
    where: `${compiler.command} (${compiler.version})`,
    hint: 'Install a C++17 compiler (g++ 7 or newer, clang 5 or newer) or name one in CXX; or use another engine: `--engine wasm`.',
  });
}

export function compileCommand({ path, object, flags }: Source, build: AddonBuild): string[] {
  const includes = build.includeFolders.map((folder) => `-I${folder}`);
  const common = ['-c', '-O2', '-fPIC', '-std=c++17', '-w', `-DNAPI_VERSION=${NAPI_VERSION}`];
  return [...common, ...flags, ...includes, path, '-o', objectFile(object, build)];
}

/**
 * An empty library with the name of a real one to link against. The addon needs only the names: its symbols are found
 * when it is loaded. Linking against libtensorflow itself, 80 MB of symbol names, takes GNU ld 9 seconds.
 */
function stubCommand(library: string, emptySource: string, build: AddonBuild): string[] {
  const name = basename(library);
  return ['-shared', '-nostdlib', `-Wl,-soname,${name}`, emptySource, '-o', join(build.workFolder, name)];
}

/**
 * The folders of the libraries become run paths relative to the addon, so that the cache may be moved. On Linux the
 * libraries are linked whether used or not: the loader then brings in the CUDA libraries, which TensorFlow opens by name.
 */
export function linkCommand(build: AddonBuild): string[] {
  const objects = build.sources.map(({ object }) => objectFile(object, build));
  const folders = [...new Set(build.libraries.map((library) => library.slice(0, library.lastIndexOf('/'))))];
  if (build.platform === 'darwin') {
    const rpaths = folders.map((folder) => `-Wl,-rpath,@loader_path/${folder}`);
    const libraries = build.libraries.map((library) => join(build.output, '..', library));
    return ['-bundle', '-undefined', 'dynamic_lookup', ...objects, ...libraries, ...rpaths, '-o', build.output];
  }
  const rpaths = folders.map((folder) => `-Wl,-rpath,$ORIGIN/${folder}`);
  const stubs = build.libraries.map((library) => join(build.workFolder, basename(library)));
  return ['-shared', ...objects, '-Wl,--no-as-needed', ...stubs, ...rpaths, '-o', build.output];
}

function objectFile(object: string, build: AddonBuild): string {
  return join(build.workFolder, `${object}.o`);
}
