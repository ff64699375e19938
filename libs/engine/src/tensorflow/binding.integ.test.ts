import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findBinding, loadTfjsNode } from './binding.js';
import { nativeBindingPath, nativeEngineFolder } from './native.js';

// That a real binding loads and computes is tested where it is built: tools/engine-build.

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'longtail-binding-'));
  vi.stubEnv('LONGTAIL_CACHE', cache);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true });
});

describe('loadTfjsNode', () => {
  it('names the file and the way out when the binding is broken', async () => {
    const path = nativeBindingPath(nativeEngineFolder('cpu'));
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, 'not a library');
    const error = await loadTfjsNode().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LongtailError);
    expect(error).toMatchObject({ code: 'engine', where: path, hint: expect.stringContaining('longtail engine install') });
  });

  it('says how to get the binding when there is none', async () => {
    // A machine may have the one that the package's own installer fetched; then loading it is right.
    if (findBinding() !== undefined) return expect((await loadTfjsNode()).getBackend()).toBe('tensorflow');
    await expect(loadTfjsNode()).rejects.toMatchObject({ code: 'engine', hint: expect.stringContaining('longtail engine install') });
  });
});
