import { readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseScenarioFile } from '@longtail/spec';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FOLDER = `${ROOT}examples/scenarios/`;

function expectScenario(text: string, file: string): void {
  const { arms } = parseScenarioFile(text, file, { resolve: (path, from) => resolve(dirname(from), path), read: (path) => readFileSync(path, 'utf8') });
  expect(arms.length).toBeGreaterThan(1);
  expect(arms.filter(({ refusal }) => refusal !== undefined)).toEqual([]);
}

test.each(readdirSync(FOLDER).filter((name) => name.endsWith('.yaml')))('%s is a scenario, each arm of which is a job', (name) => {
  expectScenario(readFileSync(`${FOLDER}${name}`, 'utf8'), `${FOLDER}${name}`);
});

test('so is what the README shows', () => {
  const shown = [...readFileSync(`${ROOT}README.md`, 'utf8').matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1]!);
  const scenarios = shown.filter((text) => text.includes('arms:'));
  expect(scenarios).toHaveLength(1);
  expectScenario(scenarios[0]!, `${FOLDER}README.yaml`);
});
