import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Of a checkout: where its bundles are, each in a folder of its own, and which one is the last. */
export function bundlesOf(root: string): { readonly folder: string; readonly manifest: string } {
  const folder = join(root, 'apps/cli/dist/bundles');
  return { folder, manifest: join(folder, 'current.json') };
}

/** What a bundle was made of: of each project what the compiler writes last, and what says which packages are installed. */
export interface BundleManifest {
  /** Its main module, from the folder of the bundles. */
  readonly main: string;
  /** Path from the root, bytes, and time of the last change in ms. */
  readonly parts: readonly (readonly [string, number, number])[];
}

/** The main module of the last bundle; undefined where there is none, or where anything is not as it was when that was made. */
export function currentBundle(root: string): string | undefined {
  const { folder, manifest } = bundlesOf(root);
  try {
    const { main, parts } = JSON.parse(readFileSync(manifest, 'utf8')) as BundleManifest;
    const asItWas = parts.every(([path, bytes, mtimeMs]) => {
      const found = statSync(join(root, path));
      return found.size === bytes && found.mtimeMs === mtimeMs;
    });
    return asItWas ? join(folder, main) : undefined;
  } catch {
    return undefined;
  }
}
