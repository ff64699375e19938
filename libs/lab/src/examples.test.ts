import { readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseScenarioFile } from '@longtail/spec';
import { expect, test } from 'vitest';

const FOLDER = fileURLToPath(new URL('../../../examples/scenarios/', import.meta.url));

test.each(readdirSync(FOLDER).filter((name) => name.endsWith('.yaml')))('%s is a scenario, each arm of which is a job', (name) => {
  const file = `${FOLDER}${name}`;
  const { arms } = parseScenarioFile(readFileSync(file, 'utf8'), file, { resolve: (path, from) => resolve(dirname(from), path), read: (path) => readFileSync(path, 'utf8') });
  expect(arms.length).toBeGreaterThan(1);
  expect(arms.filter(({ refusal }) => refusal !== undefined)).toEqual([]);
});
