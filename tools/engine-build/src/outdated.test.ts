import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeOutdated } from './outdated.js';

const key = (ops: string, { tensorflow = '2.21.0', rest = 'cpu_linux-x64_napi-v8' } = {}): string =>
  `tfjs-4.22.0_tensorflow-${tensorflow}_ops-${ops.repeat(10)}_${rest}`;

describe('removeOutdated', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'longtail-outdated-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function engines(...names: string[]): void {
    for (const name of names) mkdirSync(join(folder, name, 'tensorflow'), { recursive: true });
  }

  it('removes what differs by the sources of the ops only', async () => {
    const others = [
      key('b', { tensorflow: '2.20.0' }),
      key('b', { rest: 'cuda_linux-x64_napi-v8' }),
      key('b', { rest: 'cpu_linux-arm64_napi-v8' }),
      'something else',
    ];
    engines(key('a'), key('b'), key('c'), ...others);
    await removeOutdated(join(folder, key('a')));
    expect(readdirSync(folder).sort()).toEqual([key('a'), ...others].sort());
  });

  it('leaves one that is being built or installed again', async () => {
    const building = `${key('b')}.building-1`;
    engines(key('a'), building, key('c'));
    writeFileSync(join(folder, `${key('c')}.lock`), '');
    await removeOutdated(join(folder, key('a')));
    expect(readdirSync(folder).sort()).toEqual([building, key('a'), key('c'), `${key('c')}.lock`].sort());
  });
});
