import { readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseScenarioFile, validateJob, withOverrides, type BenchScenario, type JobDocument } from '@longtail/spec';
import { expect, test } from 'vitest';
import { layoutBy } from './layouts.js';
import { drawnFor, likeness, seeded, type ArmTask } from './run-arm.js';
import { grown } from './stands-for.js';
import { Workbench } from './workbench.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FOLDER = `${ROOT}examples/scenarios/`;

/** Of a large fleet so many are planned with: the search takes its time. */
const PLANNED = 8;

const workbench = new Workbench('cpu');

function expectScenario(text: string, file: string): BenchScenario {
  const scenario = parseScenarioFile(text, file, { resolve: (path, from) => resolve(dirname(from), path), read: (path) => readFileSync(path, 'utf8') });
  expect(scenario.arms.length).toBeGreaterThan(1);
  expect(scenario.arms.filter(({ refusal }) => refusal !== undefined)).toEqual([]);
  return scenario;
}

test.each(readdirSync(FOLDER).filter((name) => name.endsWith('.yaml')))('%s is a scenario, each arm of which is a job, and its fleet can be drawn and planned with', async (name) => {
  const { arms: [arm], seeds: [seed], ...scenario } = expectScenario(readFileSync(`${FOLDER}${name}`, 'utf8'), `${FOLDER}${name}`);
  const task: ArmTask = { scenario, mode: 'timing', arm: arm!, seed: seed!, traces: {} };
  const document = seeded(arm!, seed!);
  const isText = validateJob(document).data.type === 'gutenberg';
  // Tokens of words take seconds to make, and change nothing but the vocabulary.
  const opened = await workbench.open(isText ? (withOverrides(document, { 'data.tokenizer': 'character' }) as JobDocument) : document);
  const like = likeness(task, opened);
  const fleet = drawnFor(task, like.flops * opened.flopsPerSample);
  const nodes = fleet.machines.slice(0, PLANNED).map(({ device: { name: node, memoryBytes } }) => ({
    node,
    name: node,
    device: { engine: 'cpu' as const, description: '', memoryBytes, gflops: 0, throttle: 1 },
  }));
  const plan = layoutBy('planned', grown(opened.profile, like), fleet, seed!);
  const { groups } = plan({ job: opened.job, nodes, peers: [], current: [], begun: false, model: undefined });
  expect(groups.length).toBeGreaterThan(0);
});

test('so is what the README shows', () => {
  const shown = [...readFileSync(`${ROOT}README.md`, 'utf8').matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1]!);
  const scenarios = shown.filter((text) => text.includes('arms:'));
  expect(scenarios).toHaveLength(1);
  expectScenario(scenarios[0]!, `${FOLDER}README.yaml`);
});
