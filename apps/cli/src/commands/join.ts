import { hostname } from 'node:os';
import type { Command } from 'commander';
import { formatCount } from '@longtail/core';
import type { EngineChoice, WorkerMessage } from '@longtail/worker';
import { Interruption } from '../process/interruption.js';
import { describeDevice, startWorkerProcess } from '../process/worker-process.js';
import type { Output } from '../terminal/output.js';
import { WorkerNarrator } from '../view/worker.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { byteSize, DEFAULT_SERVER, engineOption, pace, wholeNumber } from './options.js';

interface JoinOptions {
  readonly name: string;
  readonly engine: EngineChoice;
  readonly throttle: number;
  readonly threads?: number;
  readonly memory?: number;
  readonly allowCode?: boolean;
  readonly wait?: boolean;
}

export function joinCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('join')
    .argument('[address]', 'server to work for', DEFAULT_SERVER)
    .summary('lend this machine to a server')
    .description(
      'Works for a server in the foreground until Ctrl-C. It only dials out, and comes back by itself when the connection is lost.',
    )
    .option('-n, --name <name>', 'name of this node, for people', hostname())
    .addOption(engineOption())
    .option('--throttle <pace>', 'fraction of the speed to work at, above 0 and at most 1', pace, 1)
    .option('--threads <count>', 'threads to compute with; default: all cores', wholeNumber(1, 1024))
    .option('--memory <size>', 'memory to offer; default: all there is', byteSize)
    .option('--allow-code', "let jobs run their own modules on this machine, as you: only for people you'd give a shell")
    .option('--wait', 'keep trying when no server answers yet');
  examples(command, [
    ['longtail join 10.0.0.5:7077', 'work for this server'],
    ['longtail join 10.0.0.5:7077 --throttle 0.5 --threads 4', 'with half the speed of four cores'],
    ['longtail join --engine wasm --name laptop', 'with another engine, under a name'],
  ]);
  bind(command, outcome, join);
}

async function join(output: Output, options: JoinOptions, address: string): Promise<number> {
  const narrator = new WorkerNarrator(output.colors);
  const worker = startWorkerProcess({
    server: address,
    name: options.name,
    engine: options.engine,
    pace: options.throttle,
    threads: options.threads,
    memoryBytes: options.memory,
    allowCode: options.allowCode ?? false,
    wait: options.wait ?? false,
    onMessage: (message) => show(message, narrator, output),
    onLine: (line) => output.detail(line),
  });
  const interruption = new Interruption(
    () => void worker.leave('the owner of the node stopped it'),
    () => worker.kill(),
  );
  const ended = await worker.ended();
  interruption.restore();
  if (!interruption.signal.aborted) throw ended;
  output.note(`left after ${formatCount(narrator.samples)} samples`);
  return 0;
}

function show(message: WorkerMessage, narrator: WorkerNarrator, output: Output): void {
  if (message.type === 'event') {
    output.event({ ...message.event });
    for (const line of narrator.tell(message.event)) output.note(line);
  } else if (message.type === 'device') {
    output.event({ event: 'device', ...message.device, choice: message.choice });
    output.note(`${describeDevice(message.device)} (${message.choice})`);
  } else output.detail(JSON.stringify(message));
}
