import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LongtailError } from '@longtail/core';
import type * as tfjsNode from '@tensorflow/tfjs-node-gpu';
import { fusedOpsPath, installedVariants, nativeBindingPath, nativeEngineFolder, tfjsNodeFolder } from './native.js';

export type TfjsNode = typeof tfjsNode;

const require = createRequire(import.meta.url);

/**
 * TensorFlow.js on the native binding, with the `tensorflow` backend set. It shares its `@tensorflow/tfjs` with every
 * other importer of this process. The binding comes from Longtail's cache, else from where the package's own installer
 * puts it; nothing is written.
 *
 * @param prepare called before TensorFlow itself is loaded, which then reads its environment variables.
 * @throws LongtailError `engine`: there is no binding, or it does not load on this machine.
 */
export async function loadTfjsNode(prepare: (kernels: FusedKernels | undefined) => void = () => undefined): Promise<TfjsNode> {
  const packageFolder = tfjsNodeFolder();
  const bindingPath = findBinding(packageFolder);
  if (bindingPath === undefined) {
    throw new LongtailError('The TensorFlow binding is not installed.', {
      code: 'engine',
      hint: 'Run `longtail engine install`, or use another engine: `--engine wasm`.',
    });
  }
  restoreRemovedUtilFunctions();
  quietenTensorFlow();
  try {
    loadFusedKernels(bindingPath);
    prepare(fused);
    return requireWithBinding(packageFolder, bindingPath);
  } catch (error) {
    throw new LongtailError(`The TensorFlow binding does not load: ${(error as Error).message}`, {
      code: 'engine',
      where: bindingPath,
      hint: `Delete ${dirname(bindingPath)} and run \`longtail engine install\`, or use another engine: \`--engine wasm\`.`,
      cause: error,
    });
  }
}

/** What the addon of the fused ops says of itself. */
export interface FusedKernels {
  /** That its kernels are compiled for. */
  readonly instructions: 'avx512' | 'avx2' | 'any';
  /** That compute. */
  readonly threads: number;
}

let fused: FusedKernels | undefined;

/** The fused ops that came with the binding; undefined before it is loaded, and for a binding that is not Longtail's. */
export function fusedKernels(): FusedKernels | undefined {
  return fused;
}

/** Before the binding: the addon also keeps TensorFlow from logging while it is loaded. */
function loadFusedKernels(bindingPath: string): void {
  const path = fusedOpsPath(dirname(bindingPath));
  if (existsSync(path)) fused = require(path) as FusedKernels;
}

/** Path of the binding that `loadTfjsNode` would use; undefined when there is none. */
export function findBinding(packageFolder: string = tfjsNodeFolder()): string | undefined {
  const [variant] = installedVariants();
  return variant === undefined ? stockBinding(packageFolder) : nativeBindingPath(nativeEngineFolder(variant));
}

/** What `npm rebuild @tensorflow/tfjs-node-gpu` leaves: `lib/napi-v8/tfjs_binding.node`, the newest that this Node can load. */
export function stockBinding(packageFolder: string): string | undefined {
  const folder = join(packageFolder, 'lib');
  if (!existsSync(folder)) return undefined;
  const levels = readdirSync(folder)
    .map((name) => Number(/^napi-v(\d+)$/.exec(name)?.[1]))
    .filter((level) => level <= Number(process.versions.napi))
    .sort((a, b) => b - a);
  return levels.map((level) => join(folder, `napi-v${level}`, 'tfjs_binding.node')).find((path) => existsSync(path));
}

/**
 * The package asks `@mapbox/node-pre-gyp` where its binding is, and that knows only a place inside the package. While
 * the package loads, the module cache holds a stand-in that answers with ours.
 */
function requireWithBinding(packageFolder: string, bindingPath: string): TfjsNode {
  const locator = createRequire(join(packageFolder, 'package.json')).resolve('@mapbox/node-pre-gyp');
  const original = require.cache[locator];
  const standIn = { id: locator, filename: locator, path: dirname(locator), loaded: true, children: [], paths: [] };
  require.cache[locator] = { ...standIn, exports: { find: () => bindingPath } } as unknown as NodeJS.Module;
  try {
    return require('@tensorflow/tfjs-node-gpu') as TfjsNode;
  } finally {
    if (original) require.cache[locator] = original;
    else delete require.cache[locator];
  }
}

/** tfjs-node 4.22 calls two functions of `util` that Node 22 warns about and Node 23 removed. */
function restoreRemovedUtilFunctions(): void {
  const util = require('node:util') as Record<string, unknown>;
  util.isNullOrUndefined = (value: unknown) => value === null || value === undefined;
  util.isArray = Array.isArray;
}

/**
 * Read by libtensorflow when it is loaded. In a worker thread this reaches only the thread's copy of the environment:
 * there the process needs `nativeEnvironment()`.
 */
function quietenTensorFlow(): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // Without it TensorFlow takes all of a card's memory at once, also what its owner's other programs need.
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
}
