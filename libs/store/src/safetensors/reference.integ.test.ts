import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { layOut } from '@longtail/core';
import { afterAll, expect, test } from 'vitest';
import { openSafetensors, readFlat, tensorsOf, writeSafetensors } from './index.js';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'longtail-reference-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Installed once a user; `undefined` where there is no Python or no package index. */
async function referencePackages(): Promise<string | undefined> {
  const target = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'longtail', 'python', 'safetensors-0.8.0');
  try {
    if (!existsSync(join(target, 'safetensors'))) {
      await run(
        'python3',
        [
          '-m',
          'pip',
          'install',
          '--quiet',
          '--disable-pip-version-check',
          '--retries',
          '0',
          '--target',
          target,
          'safetensors==0.8.0',
          'numpy',
        ],
        { timeout: 45_000 },
      );
    }
    await run('python3', ['-c', 'import numpy, safetensors.numpy'], { env: { ...process.env, PYTHONPATH: target } });
    return target;
  } catch {
    return undefined;
  }
}

/** Reads argv[1], writes the same tensors and metadata to argv[2] and prints what it saw. */
const SCRIPT = `
import json, sys
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], framework='np') as f:
    tensors = {name: f.get_tensor(name) for name in f.keys()}
    metadata = f.metadata()
save_file(tensors, sys.argv[2], metadata=metadata)
print(json.dumps({name: {'dtype': str(t.dtype), 'shape': list(t.shape), 'sum': float(t.astype('float64').sum())} for name, t in tensors.items()}))
`;

// Where the reference cannot be had, the fixtures of safetensors.test.ts, which it wrote, stand in for it.
test('the reference implementation reads ours and writes the same bytes', async () => {
  const layout = layOut([
    { name: 'blocks.0.weight', shape: [300, 70] },
    { name: 'blocks.0.bias', shape: [70] },
    { name: 'scale', shape: [] },
  ]);
  const flat = Float32Array.from({ length: layout.length }, (_, i) => Math.fround(Math.sin(i)));
  const ours = join(folder, 'ours.safetensors');
  const theirs = join(folder, 'theirs.safetensors');
  const written = await writeSafetensors(ours, [...tensorsOf(flat, layout), ...tensorsOf(flat, layout, 'F16', 'half.')], { format: 'np' });

  const packages = await referencePackages();
  if (packages !== undefined) {
    const { stdout } = await run('python3', ['-c', SCRIPT, ours, theirs], { env: { ...process.env, PYTHONPATH: packages } });
    const sum = flat.subarray(0, 21_000).reduce((total, value) => total + value, 0);
    expect(JSON.parse(stdout)).toMatchObject({
      'blocks.0.weight': { dtype: 'float32', shape: [300, 70], sum: expect.closeTo(sum, 6) },
      'half.blocks.0.bias': { dtype: 'float16', shape: [70] },
      scale: { dtype: 'float32', shape: [] },
    });
  } else await writeSafetensors(theirs, [...tensorsOf(flat, layout, 'F16', 'half.'), ...tensorsOf(flat, layout)], { format: 'np' });

  expect(await readFlat(theirs, layout)).toEqual(flat);
  const file = await openSafetensors(theirs);
  expect(file.metadata.get('format')).toBe('np');
  await file.close();
  expect(createHash('sha256').update(readFileSync(theirs)).digest('hex')).toBe(written.sha256);
}, 90_000);
