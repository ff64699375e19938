import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import yauzl, { type Entry } from 'yauzl';
import type { BuildTarget } from './target.js';

const WRITE_BYTES = 1024 * 1024;

/** The headers that the addons' sources include, directly or not: TensorFlow's C interface and what it rests on. */
const HEADERS =
  /^tensorflow\/include\/(tensorflow\/c|tensorflow\/core\/platform|tensorflow\/core\/common_runtime\/next_pluggable_device\/c|tsl|xla\/tsl)\/.*\.h$/;
/** `libdevice`, which XLA compiles into kernels for a card. */
const CUDA_DATA = /^tensorflow\/cuda\//;
const METADATA = /^[^/]+\.dist-info\/METADATA$/;

/** Which members of TensorFlow's wheel (1.3 GB unpacked) a build needs. */
export function neededOfTensorflow(target: Pick<BuildTarget, 'libraries' | 'variant'>): (member: string) => boolean {
  const libraries = new Set(target.libraries.map((name) => `tensorflow/${name}`));
  return (member) =>
    libraries.has(member) || HEADERS.test(member) || METADATA.test(member) || (target.variant === 'cuda' && CUDA_DATA.test(member));
}

/** Which members of an `nvidia-*` wheel are used at run time: libraries, `ptxas` and `libdevice`, but no headers. */
export function neededOfNvidia(member: string): boolean {
  return /^nvidia\/[^/]+\/(lib|bin|nvvm)\//.test(member) && !/\.(a|h|py)$/.test(member);
}

/**
 * Unpacks members of a wheel (a zip) as streams, keeping their paths and execute bits. Names that would leave the folder
 * are refused by `yauzl`; that the bytes are the published ones, pip has checked against the index.
 *
 * @returns the paths of the members, relative to `folder`.
 */
export async function extractWheel(
  wheel: string,
  folder: string,
  needed: (member: string) => boolean,
  signal?: AbortSignal,
): Promise<string[]> {
  const zip = await yauzl.openPromise(wheel, { lazyEntries: true, autoClose: false });
  const extracted: string[] = [];
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith('/') || !needed(entry.fileName)) continue;
      const path = join(folder, entry.fileName);
      await mkdir(dirname(path), { recursive: true });
      const output = createWriteStream(path, { mode: fileMode(entry), highWaterMark: WRITE_BYTES });
      await pipeline(await zip.openReadStreamPromise(entry), output, { signal });
      extracted.push(entry.fileName);
    }
  } finally {
    zip.close();
  }
  return extracted;
}

/** A zip made on Unix keeps the file's mode in the upper half of its attributes; only the owner's execute bit matters here. */
function fileMode(entry: Entry): number {
  return (entry.externalFileAttributes >>> 16) & 0o100 ? 0o755 : 0o644;
}
