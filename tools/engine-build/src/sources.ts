import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { nativeSources, type NativeVariant, tfjsNodeFolder } from '@longtail/engine/native';
import type { Source } from './compiler.js';

/** Of ours, but the binding's: what it calls in place of `TF_NewSessionOptions`. */
const SESSION_OPTIONS = 'session-options.cc';

/**
 * The binding's, as npm ships them. TensorFlow for processors rewrites no graph before it first runs, which took longer than the run; for cards it
 * does, as there it chooses how pictures lie in memory.
 */
export async function bindingSources(variant: NativeVariant): Promise<Source[]> {
  const rewrites = variant === 'cuda';
  const flags = rewrites ? [] : ['-DTF_NewSessionOptions=longtail_new_session_options'];
  const shipped = (await sourcesIn(join(tfjsNodeFolder(), 'binding'))).map((path) => ({ path, object: basename(path, '.cc'), flags }));
  return rewrites ? shipped : [...shipped, { path: join(nativeSources(), SESSION_OPTIONS), object: basename(SESSION_OPTIONS, '.cc'), flags: [] }];
}

/** Instruction sets of x86-64 that the kernels are compiled for. The cache may be shared by unlike machines. */
const INSTRUCTIONS = {
  avx512: ['-mavx2', '-mfma', '-mavx512f', '-mavx512dq', '-mavx512vl'],
  avx2: ['-mavx2', '-mfma'],
  any: [],
} as const;

/** The fused ops': the kernels once for each instruction set, to be chosen from when they are loaded. */
export async function opsSources(arch: NodeJS.Architecture): Promise<Source[]> {
  const sets = arch === 'x64' ? INSTRUCTIONS : { any: INSTRUCTIONS.any };
  const ops = (await sourcesIn(nativeSources())).filter((path) => basename(path) !== SESSION_OPTIONS);
  return ops.flatMap((path) => {
    const object = basename(path, '.cc');
    if (object !== 'kernels') return { path, object, flags: [] };
    return Object.entries(sets).map(([name, flags]) => ({
      path,
      object: `kernels-${name}`,
      flags: ['-O3', '-fno-math-errno', `-DLONGTAIL_KERNELS=kernels_${name}`, ...flags],
    }));
  });
}

async function sourcesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.cc')).map((name) => join(folder, name));
}
