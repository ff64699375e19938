import { describe, expect, it } from 'vitest';
import { downloadAttempts, lastError } from './pip.js';

const attempts = (configFile?: string) => downloadAttempts(['tensorflow-cpu==2.21.0'], '/w', ['manylinux_2_27_x86_64'], configFile);

describe('downloadAttempts', () => {
  it('asks for the wheel of one fixed Python first, then for that of the running one', () => {
    const [fixed, own, ...more] = attempts();
    expect(fixed!.args).toEqual(expect.arrayContaining(['--python-version=3.11', '--platform=manylinux_2_27_x86_64']));
    expect(own!.args.some((arg) => arg.startsWith('--platform') || arg.startsWith('--python-version'))).toBe(false);
    expect(more).toEqual([]);
  });

  it("then tries the account's own index", () => {
    expect(attempts('/home/ada/.config/pip/pip.conf').map((attempt) => attempt.env.PIP_CONFIG_FILE)).toEqual([
      undefined,
      undefined,
      '/home/ada/.config/pip/pip.conf',
      '/home/ada/.config/pip/pip.conf',
    ]);
  });

  it('never builds or installs anything', () => {
    for (const { args } of attempts('/c')) {
      expect(args[0]).toBe('download');
      expect(args).toEqual(expect.arrayContaining(['--no-deps', '--only-binary=:all:', 'tensorflow-cpu==2.21.0']));
    }
  });
});

describe('lastError', () => {
  it("is pip's last ERROR line", () => {
    expect(lastError('WARNING: slow\nERROR: Could not find a version\nERROR: No matching distribution found for x\nnotice')).toBe(
      'No matching distribution found for x',
    );
  });

  it('is the last line of a crash, and something for silence', () => {
    expect(lastError('Traceback\nOSError: [Errno 28] No space left on device\n')).toContain('No space left');
    expect(lastError('')).not.toBe('');
  });
});
