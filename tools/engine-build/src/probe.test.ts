import { describe, expect, it } from 'vitest';
import { compilerProblem, osFamilyOf, pipProblem } from './probe.js';

describe('osFamilyOf', () => {
  it.each([
    ['ID=debian\nVERSION_ID="12"', 'debian'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"', 'debian'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"', 'fedora'],
    ['ID=arch', 'arch'],
    ['ID=alpine', 'alpine'],
    ['ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"', 'suse'],
    ['ID=nixos', 'other'],
  ])('%j is %s', (osRelease, family) => {
    expect(osFamilyOf(osRelease)).toBe(family);
  });
});

describe('problems', () => {
  it('name the package of the system at hand', () => {
    expect(compilerProblem('debian').fix).toContain('apt-get install g++');
    expect(pipProblem('fedora', undefined).fix).toContain('dnf install python3-pip');
  });

  it('tell an old pip from none', () => {
    expect(pipProblem('debian', '20.0.2')).toMatchObject({
      message: expect.stringContaining('20.0.2'),
      fix: expect.stringContaining('--upgrade pip'),
    });
  });
});
