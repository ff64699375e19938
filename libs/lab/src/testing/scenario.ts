import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng } from '@longtail/core';
import { parseScenarioFile, type BenchScenario } from '@longtail/spec';

/** Two classes of points on a plane, apart from each other. */
const TABLE = (() => {
  const path = join(mkdtempSync(join(tmpdir(), 'longtail-lab-')), 'points.csv');
  const rng = createRng('points');
  const rows = Array.from({ length: 400 }, (_, i) => [(i % 2) * 2 - 1 + rng.normal(), rng.normal(), i % 2 === 0 ? 'left' : 'right'].join(','));
  writeFileSync(path, ['x,y,side', ...rows].join('\n'));
  return path;
})();

const FLEET = '{machines: [{name: fast, samplesPerSecond: 200, link: cable}, {name: slow, samplesPerSecond: 50, link: dsl, jitter: 0.1}]}';

/** A job that learns within milliseconds. */
export function scenario(arms: string, { fleet = FLEET, rest = '', epochs = 4 } = {}): BenchScenario {
  const job = `{data: {type: csv, path: ${TABLE}, target: side}, model: {type: mlp, hidden: [8]}, train: {epochs: ${epochs}, batch: 40, learningRate: 0.01}}`;
  return parseScenarioFile(`job: ${job}\nfleet: ${fleet}\narms: ${arms}\n${rest}`, 'test.yaml', {
    resolve: (path) => path,
    read: () => '',
  });
}
