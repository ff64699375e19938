import { describe, expect, it } from 'vitest';
import { buildTarget, manylinuxPlatforms } from './target.js';

describe('buildTarget', () => {
  it.each([
    ['cpu', 'linux', 'x64', 'tensorflow-cpu==2.21.0'],
    ['cuda', 'linux', 'x64', 'tensorflow==2.21.0'],
    ['cpu', 'linux', 'arm64', 'tensorflow==2.21.0'],
    ['cpu', 'darwin', 'arm64', 'tensorflow==2.21.0'],
  ] as const)('%s on %s-%s takes %s', (variant, platform, arch, requirement) => {
    expect(buildTarget(variant, { platform, arch }, '2.36')).toMatchObject({ variant, platform, requirement });
  });

  it.each([
    ['an old glibc', 'cpu', 'linux', 'x64', '2.26', 'glibc 2.27'],
    ['musl', 'cpu', 'linux', 'x64', undefined, 'musl'],
    ['Windows', 'cpu', 'win32', 'x64', undefined, 'Windows'],
    ['an Intel Mac', 'cpu', 'darwin', 'x64', undefined, 'darwin-x64'],
    ['CUDA on ARM', 'cuda', 'linux', 'arm64', '2.36', 'CUDA'],
    ['CUDA on a Mac', 'cuda', 'darwin', 'arm64', undefined, 'CUDA'],
  ] as const)('says why not and what else on %s', (_, variant, platform, arch, glibc, reason) => {
    const target = buildTarget(variant, { platform, arch }, glibc);
    expect(target).toMatchObject({ message: expect.stringContaining(reason), fix: expect.stringMatching(/--engine \w+/) });
  });
});

describe('manylinuxPlatforms', () => {
  it('goes from the own glibc down, with the older names', () => {
    const platforms = manylinuxPlatforms('x86_64', '2.28');
    expect(platforms.slice(0, 2)).toEqual(['manylinux_2_28_x86_64', 'manylinux_2_27_x86_64']);
    expect(platforms.at(-1)).toBe('manylinux1_x86_64');
    expect(platforms).toEqual(expect.arrayContaining(['manylinux2014_x86_64', 'manylinux2010_x86_64']));
  });

  it('never names a newer glibc than the own', () => {
    expect(manylinuxPlatforms('aarch64', '2.27')).not.toContain('manylinux_2_28_aarch64');
  });
});
