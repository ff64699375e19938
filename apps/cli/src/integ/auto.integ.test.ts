import { rm } from 'node:fs/promises';
import { codecBits, type RunEvent } from '@longtail/core';
import { afterEach, expect, it } from 'vitest';
import { type CliProcess, runCli } from './cli-process.js';
import { jobFolder } from './jobs.js';

const folders: string[] = [];
const started: CliProcess[] = [];
afterEach(async () => {
  started.splice(0).forEach((process) => process.killAll());
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

type Choice = Extract<RunEvent, { event: 'sync' }>;

/** Workers so slow that what the machine does beside them matters little. */
async function demo({ pace, samples, cluster = '' }: { pace: number; samples: number; cluster?: string }, ...options: string[]): Promise<CliProcess> {
  const folder = await jobFolder(`
data: mnist
model: { type: mlp, hidden: [128] }
train: { batch: 128, maxSamples: ${samples}, epochs: 1000, optimizer: sgd, learningRate: 0.1, seed: 5 }
validation: { maxSamples: 128, everyEpochs: 1000 }
sync: { strategy: auto, minDeadline: 60s }
${cluster}
`);
  folders.push(folder);
  const args = ['demo', '--job', 'job.yaml', '--workers', '2', '--paces', String(pace), '--engine', 'wasm', ...options, '--json'];
  const { exitCode, process } = await runCli(args, { cwd: folder });
  started.push(process);
  expect(exitCode, process.stderr).toBe(0);
  expect(process.verdict).toMatchObject({ status: 'succeeded', samples: { applied: samples, lost: 0 } });
  return process;
}

function choices({ events }: CliProcess): readonly Choice[] {
  return events.flatMap((event) => (event.event === 'sync' ? [event] : []));
}

it('on one machine gradients are exchanged at every step', { timeout: 90_000 }, async () => {
  const [choice] = choices(await demo({ pace: 0.005, samples: 2 * 128 }));
  expect(choice).toMatchObject({ strategy: 'bsp', exchanges: [{ hidden: true }, { hidden: true }] });
  expect(choice!.reason).toMatch(/^bsp, \w+: one exchange of .* beside a step of .* of a round \(.* up at .*, .* down at .* there and back, .* to code\)/);
});

it('over 20 Mbit/s workers step for themselves and send few bits, and it says why', { timeout: 90_000 }, async () => {
  const run = await demo({ pace: 0.1, samples: 160 * 128 }, '--link', 'up=20mbit,down=100mbit,rtt=40ms');
  const [choice] = choices(run);
  expect(choice!.strategy).toMatch(/diloco$/);
  expect(codecBits(choice!.codec)).toBeLessThanOrEqual(8);
  expect(choice!.reason).toMatch(/H = \d+, .* \(.* up at .* Mbit\/s, .*; .* would wait .* beside /);
  expect(run.events.find((event) => event.event === 'shares')).toMatchObject({ unit: 'local steps' });
  const { process: explained } = await runCli(['explain', run.verdict.run], { cwd: folders[0]! });
  started.push(explained);
  expect(explained.lines).toContain(`sync: ${choice!.reason}`);
  const accepted = run.events.flatMap((event) => (event.event === 'contribution' && event.accepted ? [event] : []));
  expect(accepted.every(({ bytesSaved = 0 }) => bytesSaved > 0)).toBe(true);
});

it('a pipeline that got ready before it was chosen that workers step for themselves learns', { timeout: 90_000 }, async () => {
  const cluster = 'cluster: { layout: [[{ worker: worker-1, blocks: 1 }, { worker: worker-2, blocks: 1 }]], microbatch: 64 }';
  const run = await demo({ pace: 0.5, samples: 20 * 128, cluster }, '--link', 'up=20mbit,down=100mbit,rtt=4ms');
  expect(choices(run)[0]!.strategy).toMatch(/diloco$/);
  const losses = run.events.flatMap((event) => (event.event === 'commit' ? [event.loss] : []));
  expect(losses.at(-1), 'of ten classes').toBeLessThan(0.8 * Math.log(10));
});
