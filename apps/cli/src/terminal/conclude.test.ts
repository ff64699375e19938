import type { Verdict } from '@longtail/core';
import { expect, it } from 'vitest';
import { NO_COLORS } from '../view/colors.js';
import { NOTHING_YET } from '../view/progress.js';
import { concludeRun } from './conclude.js';
import type { Output } from './output.js';

const verdict: Verdict = {
  event: 'verdict',
  status: 'succeeded',
  run: 'a1c9516d',
  job: 'mnist',
  engine: 'wasm',
  metrics: { validation_loss: 0.1, validation_accuracy: 0.9, train_loss: 0.1 },
  samples: { applied: 64, lost: 0 },
  seconds: 1,
  bytes: { up: 1, down: 1, direct: 0 },
  model: '/second/runs/r/model.safetensors',
  reason: 'every sample was applied',
};

it.each([
  ['where the model is: a standby that took over has a folder of its own', verdict, '/second/runs/r/report.html'],
  ['in the folder of the launch, where nothing came of the model', { ...verdict, model: '' }, '/first/runs/r/report.html'],
])('the report is %s', async (_, ended, report) => {
  const lines: string[] = [];
  const output = { json: false, quiet: true, colors: NO_COLORS, line: (line: string) => void lines.push(line) } as unknown as Output;
  expect(await concludeRun({ progress: NOTHING_YET, verdict: ended }, '/first/runs/r', output)).toBe(0);
  expect(lines.at(-1)).toBe(`report  ${report}`);
});
