import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findBinding, stockBinding } from './binding.js';
import { nativeBindingPath, nativeEngineFolder } from './native.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-binding-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function put(...path: string[]): string {
  const file = join(folder, ...path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, '');
  return file;
}

describe('stockBinding', () => {
  it('is undefined where the installer has not run', () => {
    expect(stockBinding(folder)).toBeUndefined();
  });

  it('is the newest that this Node can load', () => {
    put('lib', 'napi-v3', 'tfjs_binding.node');
    const newest = put('lib', 'napi-v8', 'tfjs_binding.node');
    put('lib', 'napi-v999', 'tfjs_binding.node');
    mkdirSync(join(folder, 'lib', 'napi-v7'));
    expect(stockBinding(folder)).toBe(newest);
  });
});

describe('findBinding', () => {
  it('prefers the cache to what the stock installer left', () => {
    vi.stubEnv('LONGTAIL_CACHE', join(folder, 'cache'));
    const stock = put('package', 'lib', 'napi-v8', 'tfjs_binding.node');
    expect(findBinding(join(folder, 'package'))).toBe(stock);
    const cached = nativeBindingPath(nativeEngineFolder('cpu'));
    mkdirSync(join(cached, '..'), { recursive: true });
    writeFileSync(cached, '');
    expect(findBinding(join(folder, 'package'))).toBe(cached);
  });
});
