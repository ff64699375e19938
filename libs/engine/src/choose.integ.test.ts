import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { chooseEngine } from './choose.js';
import { availableEngines, ENGINE_NAMES } from './load.js';

describe('choosing an engine', () => {
  test('takes the one that is asked for, unmeasured', async () => {
    const { engine, why, measured } = await chooseEngine({ preferred: 'cpu' });
    expect([engine.info.name, why, measured]).toEqual(['cpu', 'cpu was asked for', {}]);
  });

  test('auto takes the fastest of those it measured, and says why', async () => {
    const { engine, why, measured } = await chooseEngine({ preferred: 'auto', threads: 1 });
    const figures = Object.entries(measured);
    expect(measured.wasm).toBeGreaterThan(0);
    const fastest = figures.reduce((a, b) => (b[1] > a[1] ? b : a))[0];
    expect(engine.info.name).toBe(fastest);
    expect(why).toContain(`${fastest} is the fastest here`);
    // Loading the others first must not leave one of them active.
    const stage = await engine.build({ type: 'mlp', input: 2, hidden: [], outputs: 2 }, 'all', {
      loss: 'cross-entropy',
      data: { inputShape: [2], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 2 },
      seed: 1,
    });
    const { lossSum } = await stage.evaluate({
      samples: 1,
      inputs: { dtype: 'float32', shape: [1, 2], data: new Float32Array(2) },
      targets: { dtype: 'int32', shape: [1], data: new Int32Array(1) },
    });
    expect(lossSum).toBeCloseTo(Math.log(2), 5);
    await engine.dispose();
  });

  test('every engine is listed, the absent ones with reason and fix', async () => {
    const listed = await availableEngines();
    expect(listed.map(({ name }) => name)).toEqual(ENGINE_NAMES);
    expect(listed.filter(({ available }) => available).map(({ name }) => name)).toEqual(expect.arrayContaining(['wasm', 'cpu']));
    for (const engine of listed) if (!engine.available) expect([engine.reason, engine.hint].every((text) => text.length > 10)).toBe(true);
  });
});

test('importing the package loads no TF.js, and looking for engines does not keep the process alive', async () => {
  const script = `
    const { availableEngines } = await import('@longtail/engine');
    const { createRequire } = await import('node:module');
    const loaded = () => Object.keys(createRequire(process.cwd() + '/x.js').cache).filter((path) => path.includes('@tensorflow'));
    await availableEngines();
    console.log(loaded().length);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname, timeout: 20_000, env: { ...process.env, NODE_OPTIONS: '' } });
  expect(stdout.trim()).toBe('0');
});
