import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fusedOpsSources, tfjsNodeFolder } from '@longtail/engine/native';
import type { Source } from './compiler.js';

/** The binding's, as npm ships them. */
export async function bindingSources(): Promise<Source[]> {
  const folder = join(tfjsNodeFolder(), 'binding');
  return (await sourcesIn(folder)).map((path) => ({ path, object: basename(path, '.cc'), flags: [] }));
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
  return (await sourcesIn(fusedOpsSources())).flatMap((path) => {
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
