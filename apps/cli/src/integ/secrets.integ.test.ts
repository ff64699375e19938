import { readdirSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CliProcess } from './cli-process.js';
import { jobFolder } from './jobs.js';

const CANARIES = { signature: 'canary-signature-5e1f', aws: 'canary/aws+key=77aa', database: 'canary-database-90cd' };
const TABLE = `x,y\n${Array.from({ length: 64 }, (_, i) => `${i % 7},${i % 2}`).join('\n')}\n`;

const site = createServer(({ url }, response) => (url!.startsWith('/table') ? response.end(TABLE) : response.writeHead(404).end()));
let folder: string;
const started: CliProcess[] = [];
beforeAll(async () => {
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(site.address() as AddressInfo).port}/table.csv?X-Amz-Signature=${CANARIES.signature}`;
  const job = (path: string): string => JSON.stringify({ name: 'signed', data: { type: 'csv', path, target: 'y', task: 'classification' }, model: { type: 'mlp', hidden: [4] }, train: { epochs: 1, batch: 32 } });
  folder = await jobFolder(job(url));
  await writeFile(join(folder, 'lost.yaml'), job(url.replace('/table', '/lost')));
});
afterAll(async () => {
  started.forEach((process) => process.killAll());
  site.close();
  await rm(folder, { recursive: true });
});

function start(...args: string[]): CliProcess {
  const env = {
    LONGTAIL_STATE: join(folder, 'state'),
    LONGTAIL_CACHE: join(folder, 'cache'),
    LONGTAIL_RUNS: join(folder, 'runs'),
    AWS_SECRET_ACCESS_KEY: CANARIES.aws,
    DATABASE_URL: `postgresql://longtail:${CANARIES.database}@127.0.0.1/x`,
  };
  const process = new CliProcess([...args, '--debug'], { cwd: folder, env });
  started.push(process);
  return process;
}

it('keeps secrets out of every log, event, report, message and process list', { timeout: 90_000 }, async () => {
  const up = start('up', '--tls', '--port', '0', '--json');
  const address = await up.listening();
  const at = ['--server', address];
  const create = start('token', 'create', ...at);
  await create.exit;
  const [token] = create.lines as [string];
  expect(token).toMatch(/^longtail-[\w-]{40,}$/);

  const worker = start('join', address, '--token', token, '--engine', 'cpu', '--json');
  await worker.line('"joined"');
  const commands = worker.processes().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  expect(commands.join()).toContain('--token longtail-…');

  const done = start('launch', 'job.yaml', ...at, '--json');
  expect(await done.exit, done.stderr).toBe(0);
  const lost = start('launch', 'lost.yaml', ...at);
  expect(await lost.exit).toBe(4);
  expect(lost.stderr).toContain('X-Amz-Signature=…');
  const mistyped = start('nodes', `--tokne=${token}`, ...at);
  expect(await mistyped.exit).toBe(2);
  expect(mistyped.stderr).toContain('--tokne=longtail-…');
  worker.signal('SIGINT');
  await worker.exit;
  up.signal('SIGINT');
  await up.exit;

  const secrets = [...Object.values(CANARIES), token, token.slice('longtail-'.length, -8)];
  const said = started.filter((process) => process !== create).flatMap(({ lines, stderr }) => [...lines, stderr]);
  const runs = readdirSync(join(folder, 'runs'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = runs.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['events.jsonl', 'report.html', 'metrics.csv']));
  // The job as it was written stands where the run goes on from.
  const written = runs.filter(({ name, parentPath }) => name !== 'job.json' && !parentPath.includes('checkpoint')).map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1'));
  for (const secret of secrets) expect([...said, ...written, ...commands].filter((text) => text.includes(secret))).toEqual([]);
  expect(written.join()).toContain(Buffer.from('X-Amz-Signature=…').toString('latin1'));
});
