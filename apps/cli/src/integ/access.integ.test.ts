import { readdirSync, readFileSync, statSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { FEATURES, jobFolder, smallJob } from './jobs.js';

/** A model that fails where it can see the machine that it is built on. */
const OWN_MODEL = `
import { readFileSync } from 'node:fs';
let sees = true;
try {
  readFileSync('/etc/passwd');
} catch {
  sees = false;
}
if (sees) throw new Error('not confined');
export default (_, { inputShape, classes }) => ({
  inputShape,
  inputType: 'float32',
  blocks: [{
    name: 'dense',
    parameters: [{ name: 'weights', shape: [${FEATURES}, classes], init: { kind: 'zeros' } }],
    outputShape: () => [classes],
    apply: ({ tf }, x, [weights]) => tf.matMul(tf.reshape(x, [-1, ${FEATURES}]), weights),
  }],
});
`;

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(`${smallJob({ rounds: 100_000 })}cluster: { minWorkers: 2 }\n`);
  await writeFile(join(folder, 'own.mjs'), OWN_MODEL);
  await writeFile(join(folder, 'own.yaml'), smallJob().replace(/^model: .*$/m, 'model: { type: module, path: own.mjs }'));
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

/** Somebody's machine: its state is apart from the others'. */
function machine(name: string) {
  const options = { cwd: folder, env: { LONGTAIL_STATE: join(folder, name) } };
  const start = (...args: string[]): CliProcess => {
    const process = new CliProcess(args, options);
    started.push(process);
    return process;
  };
  return {
    start,
    async output(...args: string[]): Promise<string[]> {
      const process = start(...args);
      expect(await process.exit, process.stderr).toBe(0);
      return process.lines;
    },
    async failure(...args: string[]): Promise<string> {
      const result = await runCli(args, options);
      started.push(result.process);
      expect(result.exitCode).toBe(6);
      return result.process.stderr;
    },
  };
}

/** Texts in all files below a folder of state that must be nobody else's. */
function secretsIn(state: string): string[] {
  return readdirSync(state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      expect(statSync(path).mode & 0o077, path).toBe(0);
      if (!path.endsWith('.json')) return [];
      const { privateKey } = JSON.parse(readFileSync(path, 'utf8')) as { privateKey?: string };
      return privateKey === undefined ? [] : privateKey.split('\n').slice(1, -2);
    });
}

it('trains for those who were let in, and for nobody else', { timeout: 90_000 }, async () => {
  const [home, desk, attic, office, street] = ['home', 'desk', 'attic', 'office', 'street'].map(machine);
  const up = home!.start('up', '--tls', '--port', '0', '--json', '--debug');
  const address = await up.listening();
  const at = ['--server', address];

  const [[token], [asEngineer]] = await Promise.all([
    home!.output('token', 'create', '--uses', '2', ...at),
    home!.output('token', 'create', '--role', 'engineer', ...at),
  ]);
  // Slow, so that the other processes have the cores.
  const asNode = ['join', address, '--token', token!, '--engine', 'wasm', '--throttle', '0.1', '--allow-code', '--json', '--debug'];
  const nodes = [desk!.start(...asNode, '--name', 'desk'), attic!.start(...asNode, '--name', 'attic')];
  const outside = street!.failure('nodes', ...at);
  const launched = office!.start('launch', 'job.yaml', '--token', asEngineer!, ...at, '--json', '--debug');
  expect(await outside).toMatch(/only who has enrolled[^]*hint:.*token create/);

  const first = await launched.line('"event":"commit"');
  expect((await home!.output('revoke', 'attic', ...at))[0]).toMatch(/^node-[0-9a-f]{12}: revoked$/);
  const left = await launched.line('"event":"node_left"', first);
  expect(JSON.parse(left)).toMatchObject({ name: 'attic', reason: expect.stringContaining('revoked') });
  expect(await nodes[1]!.exit).toBe(6);
  expect(nodes[1]!.stderr).toMatch(/was revoked[^]*hint:.*token create/);

  await launched.line('"event":"commit"', left);
  // The token has done its work: the identity is kept.
  await office!.output('cancel', (JSON.parse(first) as { run: string }).run, ...at);
  await launched.exit;
  expect(launched.verdict).toMatchObject({ status: 'cancelled', samples: { lost: 0 } });

  // Over TLS to its end, of a module that the node lets in behind walls.
  const own = office!.start('launch', 'own.yaml', ...at, '--json', '--debug');
  expect(await own.exit, own.stderr).toBe(0);
  expect(own.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 6 * 128, lost: 0 } });
  expect(own.verdict.metrics.validation_accuracy).toBeGreaterThan(0.7);
  expect(nodes[0]!.lines.some((line) => line.includes('"event":"confined"'))).toBe(true);

  nodes[0]!.signal('SIGINT');
  expect(await nodes[0]!.exit).toBe(0);
  up.signal('SIGINT');
  expect(await up.exit).toBe(0);

  const secrets = [token!, asEngineer!, ...['home', 'desk', 'attic', 'office'].flatMap((name) => secretsIn(join(folder, name)))];
  expect(secrets.length).toBeGreaterThan(8);
  const printed = started.filter((process) => ![token, asEngineer].includes(process.lines[0])).map(({ lines, stderr }) => lines.join('\n') + stderr);
  const written = readdirSync(join(folder, 'runs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  for (const text of [...printed, ...written]) for (const secret of secrets) expect(text.includes(secret)).toBe(false);
});
