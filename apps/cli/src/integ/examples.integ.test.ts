import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { type CliProcess, runCli } from './cli-process.js';

const EXAMPLES = fileURLToPath(new URL('../../../../examples', import.meta.url));
/** Engines, thread counts and shares differ in the last bits; over a few rounds that stays far below this. */
const TOLERANCE = 0.01;

let folder: string;
let cli: CliProcess | undefined;
let engine: string;
/** The first that is there, without the seconds it takes to measure them. */
beforeAll(async () => {
  const { process } = await runCli(['engine', 'list', '--json'], { cwd: EXAMPLES });
  const engines = process.lines.map((line) => JSON.parse(line) as { name: string; available: boolean });
  engine = engines.find(({ name, available }) => available && name !== 'webgpu')!.name;
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-examples-'));
});
afterEach(async () => {
  cli?.killAll();
  await rm(folder, { recursive: true });
});

interface ExampleJob {
  readonly model: { readonly path?: string };
  readonly train: { readonly batch: number };
}

const TWO_WORKERS = ['--workers', '2', '--paces', '1'];

it.each([
  ['mnist', 6, TWO_WORKERS],
  ['gpt-gutenberg', 6, TWO_WORKERS],
  ['gpt-pipeline', 3, ['--pipeline']],
  ['keras-import', 6, TWO_WORKERS],
  ['custom-module/job', 6, TWO_WORKERS],
] as const)('%s learns as it did', { timeout: 120_000 }, async (name, rounds, workers) => {
  const job = parse(await readFile(join(EXAMPLES, `${name}.yaml`), 'utf8')) as ExampleJob;
  await writeFile(join(folder, 'job.yaml'), stringify(shortened(job, rounds, dirname(join(EXAMPLES, name)))));
  const result = await runCli(['demo', '--job', 'job.yaml', ...workers, '--engine', engine, '--json'], { cwd: folder });
  cli = result.process;
  expect(result.exitCode, cli.stderr).toBe(0);

  const losses = cli.events.flatMap((event) => (event.event === 'commit' ? [event.loss] : []));
  const golden = await goldenLosses(name, losses);
  expect(losses.length).toBe(rounds);
  const pipelined = cli.events.some((event) => event.event === 'layout' && event.groups.some(({ stages }) => stages.length > 1));
  expect(pipelined).toBe(name === 'gpt-pipeline');
  losses.forEach((loss, i) => expect(Math.abs(loss / golden[i]! - 1), `round ${i + 1}: ${loss}, was ${golden[i]}`).toBeLessThan(TOLERANCE));
});

/** The same job, ended after a few rounds. */
function shortened(job: ExampleJob, rounds: number, exampleFolder: string): object {
  const model = job.model.path === undefined ? job.model : { ...job.model, path: join(exampleFolder, job.model.path) };
  return { ...job, model, train: { ...job.train, maxSamples: rounds * job.train.batch }, validation: { maxSamples: 64 } };
}

/** One loss a line. With LONGTAIL_UPDATE_GOLDEN set, what is measured becomes what is expected. */
async function goldenLosses(name: string, losses: readonly number[]): Promise<readonly number[]> {
  const file = join(EXAMPLES, 'golden', `${name.replace('/', '-')}.txt`);
  if (process.env['LONGTAIL_UPDATE_GOLDEN']) await writeFile(file, losses.map((loss) => `${loss.toPrecision(6)}\n`).join(''));
  return (await readFile(file, 'utf8')).trim().split('\n').map(Number);
}
