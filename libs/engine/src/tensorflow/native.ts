import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongtailError } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';

/** Of `@tensorflow/tfjs-node-gpu`: its C++ sources are the binding's. */
export const TFJS_VERSION = '4.22.0';
/** Of libtensorflow, taken from the Python wheel of that version. */
export const TENSORFLOW_VERSION = '2.21.0';
/** Node-API level the binding is compiled for; every Node since 15.12 has it. */
export const NAPI_VERSION = 8;

/** Which libtensorflow: for processors only, or for NVIDIA cards too. */
export type NativeVariant = 'cpu' | 'cuda';

/** What decides where the cache is and what fits this machine. */
export interface NativeHost {
  readonly platform: NodeJS.Platform;
  readonly arch: NodeJS.Architecture;
  /** Folder of the user's cache. */
  readonly cache: string;
}

export function thisHost(): NativeHost {
  return { platform: process.platform, arch: process.arch, cache: userCache() };
}

/** Everything that a build depends on, so that another version or machine sharing the home never loads the wrong one. */
export function nativeEngineKey(variant: NativeVariant, host: NativeHost = thisHost()): string {
  return `tfjs-${TFJS_VERSION}_tensorflow-${TENSORFLOW_VERSION}_ops-${sourcesHash()}_${variant}_${host.platform}-${host.arch}_napi-v${NAPI_VERSION}`;
}

/** Folder of our own C++ sources, of the fused ops and for the binding: the same seen from `src` and from `dist`. */
export function nativeSources(): string {
  return fileURLToPath(new URL('../../native', import.meta.url));
}

let hashed: string | undefined;

/** Changes with any of our sources. */
function sourcesHash(): string {
  if (hashed !== undefined) return hashed;
  const hash = createHash('sha256');
  const folder = nativeSources();
  for (const name of readdirSync(folder).sort()) hash.update(`${name}\0`).update(readFileSync(join(folder, name)));
  return (hashed = hash.digest('hex').slice(0, 10));
}

/** Where a variant of the engine is installed, or would be. It appears whole or not at all. */
export function nativeEngineFolder(variant: NativeVariant, host: NativeHost = thisHost()): string {
  return join(host.cache, 'engine', nativeEngineKey(variant, host));
}

/** The Node addon inside an engine folder; libtensorflow lies beside it, found by a relative rpath. */
export function nativeBindingPath(engineFolder: string): string {
  return join(engineFolder, 'tfjs_binding.node');
}

/** The addon with the fused ops, beside the binding. */
export function fusedOpsPath(engineFolder: string): string {
  return join(engineFolder, 'longtail_ops.node');
}

/**
 * Folder of the npm package that holds the binding's JavaScript and C++ sources.
 *
 * @throws LongtailError `engine`: it is not installed.
 */
export function tfjsNodeFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
  } catch (cause) {
    throw new LongtailError('The npm package @tensorflow/tfjs-node-gpu is not installed.', {
      code: 'engine',
      hint: 'Run `npm install`, or use another engine: `--engine wasm`.',
      cause,
    });
  }
}

/** Whether an NVIDIA driver has made its device node: natively, or under WSL. */
export function hasNvidiaDevice(): boolean {
  return existsSync('/dev/nvidiactl') || existsSync('/dev/dxg');
}

/** Variants in the cache, the one to load first. CUDA without a card works, but starts slower than plain CPU. */
export function installedVariants(host: NativeHost = thisHost(), cudaDevice = hasNvidiaDevice()): NativeVariant[] {
  const preference: NativeVariant[] = cudaDevice ? ['cuda', 'cpu'] : ['cpu', 'cuda'];
  return preference.filter((variant) => existsSync(nativeBindingPath(nativeEngineFolder(variant, host))));
}

/** What the allocator settings depend on. */
export interface AllocatorHost {
  /** `2.36`; undefined where the C library is another one. */
  readonly glibc: string | undefined;
  /** Whether the kernel gives huge pages to memory that asks for them. */
  readonly hugePages: boolean;
}

/** Reads the C library's version and the kernel's huge-page mode. */
export function allocatorHost(): AllocatorHost {
  if (process.platform !== 'linux') return { glibc: undefined, hugePages: false };
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return { glibc: header.glibcVersionRuntime, hugePages: !transparentHugePages().includes('[never]') };
}

function transparentHugePages(): string {
  try {
    return readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8');
  } catch {
    return '[never]';
  }
}

/**
 * Variables for a process that will load the binding; spread them over its environment. They cannot be set later:
 * glibc reads its own at start, and a worker thread's `process.env` is a copy that C code does not see.
 * What the caller's environment already sets is kept.
 *
 * Reading a large tensor is bound by page faults of the fresh buffer: 100 MB by `dataSync` at 1.3 GB/s. Huge pages
 * (glibc 2.35) make it 4.9 GB/s at no more memory; keeping freed memory on the heap 5.2–5.8 GB/s, but at 1.3 × the peak
 * (tools/engine-build/README.md). So huge pages where there are any, else the heap.
 */
export function nativeEnvironment(env: NodeJS.ProcessEnv = process.env, host: AllocatorHost = allocatorHost()): Record<string, string> {
  const wanted: Record<string, string> = { TF_CPP_MIN_LOG_LEVEL: '2', TF_FORCE_GPU_ALLOW_GROWTH: 'true' };
  if (host.glibc !== undefined) Object.assign(wanted, allocatorVariables(env, host));
  return Object.fromEntries(Object.entries(wanted).filter(([name]) => !env[name] || name === 'GLIBC_TUNABLES'));
}

function allocatorVariables(env: NodeJS.ProcessEnv, host: AllocatorHost): Record<string, string> {
  if (!host.hugePages || !atLeast(host.glibc!, 2, 35)) {
    const keptBytes = String(256 * 1024 ** 2);
    return { MALLOC_MMAP_THRESHOLD_: keptBytes, MALLOC_TRIM_THRESHOLD_: keptBytes };
  }
  const tunables = env.GLIBC_TUNABLES ?? '';
  if (tunables.includes('glibc.malloc.hugetlb')) return { GLIBC_TUNABLES: tunables };
  return { GLIBC_TUNABLES: [tunables, 'glibc.malloc.hugetlb=1'].filter(Boolean).join(':') };
}

/** Whether a dotted version is at least `major.minor`. */
export function atLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
