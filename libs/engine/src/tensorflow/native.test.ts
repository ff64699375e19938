import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  atLeast,
  installedVariants,
  nativeBindingPath,
  nativeEngineFolder,
  nativeEngineKey,
  nativeEnvironment,
  TFJS_VERSION,
  tfjsNodeFolder,
  type NativeHost,
  type NativeVariant,
} from './native.js';

const linux: NativeHost = { platform: 'linux', arch: 'x64', cache: '/home/ada/.cache/longtail' };

describe('nativeEngineKey', () => {
  it('names versions, the fused ops, variant, machine and Node-API', () => {
    expect(nativeEngineKey('cpu', linux)).toMatch(/^tfjs-4\.22\.0_tensorflow-2\.21\.0_ops-[0-9a-f]{10}_cpu_linux-x64_napi-v8$/);
  });

  it('differs for every machine and variant', () => {
    const hosts: NativeHost[] = [linux, { ...linux, arch: 'arm64' }, { ...linux, platform: 'darwin', arch: 'arm64' }];
    const keys = hosts.flatMap((host) => [nativeEngineKey('cpu', host), nativeEngineKey('cuda', host)]);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('names the version of the npm package that is installed', () => {
    const manifest = JSON.parse(readFileSync(join(tfjsNodeFolder(), 'package.json'), 'utf8')) as { version: string };
    expect(manifest.version).toBe(TFJS_VERSION);
  });
});

describe('installedVariants', () => {
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'longtail-native-'));
  });
  afterEach(() => rmSync(cache, { recursive: true }));

  const host = (): NativeHost => ({ ...linux, cache });
  const install = (variant: NativeVariant): void => {
    const folder = nativeEngineFolder(variant, host());
    mkdirSync(folder, { recursive: true });
    writeFileSync(nativeBindingPath(folder), '');
  };

  it('is empty for an empty cache', () => {
    expect(installedVariants(host(), true)).toEqual([]);
  });

  it('prefers CUDA only where there is a card', () => {
    install('cpu');
    install('cuda');
    expect(installedVariants(host(), true)).toEqual(['cuda', 'cpu']);
    expect(installedVariants(host(), false)).toEqual(['cpu', 'cuda']);
  });
});

describe('nativeEnvironment', () => {
  const modern = { glibc: '2.36', hugePages: true };

  it('asks for huge pages where glibc and the kernel have them', () => {
    expect(nativeEnvironment({}, modern)).toEqual({
      TF_CPP_MIN_LOG_LEVEL: '2',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
      GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    });
  });

  it.each([
    { glibc: '2.31', hugePages: true },
    { glibc: '2.36', hugePages: false },
  ])('keeps freed memory on the heap with %o', (host) => {
    const variables = nativeEnvironment({}, host);
    expect(variables).not.toHaveProperty('GLIBC_TUNABLES');
    expect(variables).toMatchObject({ MALLOC_MMAP_THRESHOLD_: '268435456', MALLOC_TRIM_THRESHOLD_: '268435456' });
  });

  it('sets no allocator variable without glibc', () => {
    expect(Object.keys(nativeEnvironment({}, { glibc: undefined, hugePages: false }))).toEqual([
      'TF_CPP_MIN_LOG_LEVEL',
      'TF_FORCE_GPU_ALLOW_GROWTH',
    ]);
  });

  it("keeps the user's own settings", () => {
    const env = { TF_CPP_MIN_LOG_LEVEL: '0', GLIBC_TUNABLES: 'glibc.malloc.hugetlb=2' };
    expect({ ...env, ...nativeEnvironment(env, modern) }).toMatchObject(env);
  });

  it("adds to the user's other tunables", () => {
    const { GLIBC_TUNABLES } = nativeEnvironment({ GLIBC_TUNABLES: 'glibc.malloc.arena_max=2' }, modern);
    expect(GLIBC_TUNABLES).toBe('glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1');
  });
});

describe('atLeast', () => {
  it.each([
    ['2.36', true],
    ['2.35', true],
    ['2.9', false],
    ['3.0', true],
    ['1.99', false],
    ['2', false],
  ])('%s against 2.35: %s', (version, expected) => {
    expect(atLeast(version, 2, 35)).toBe(expected);
  });
});
