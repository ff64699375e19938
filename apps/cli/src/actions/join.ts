import { formatCount } from '@longtail/core';
import type { LinkRates } from '@longtail/spec/links';
import { userState } from '@longtail/store';
import { connectClient } from '@longtail/transport';
import type { AllowedCode, EngineChoice, WorkerMessage } from '@longtail/worker';
import { nodeIdentity } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { describeDevice, startWorkerProcess } from '../process/worker-process.js';
import type { Output } from '../terminal/output.js';
import { WorkerNarrator } from '../view/worker.js';

interface JoinOptions {
  readonly name: string;
  readonly token?: string;
  readonly engine: EngineChoice;
  readonly throttle: number;
  readonly threads?: number;
  readonly memory?: number;
  readonly listen?: string;
  readonly maxUpload?: number;
  readonly link?: LinkRates;
  readonly allowCode?: AllowedCode;
  readonly wait?: boolean;
  readonly lookFor?: number;
}

export async function join(output: Output, options: JoinOptions, address: string): Promise<number> {
  const { signal } = new AbortController();
  const identity = await nodeIdentity(address, options.token, options.name, signal);
  // Says in a moment what a worker would say after it has loaded its engine.
  if (!options.wait) (await connectClient(address, signal, identity?.credentials)).close();
  const narrator = new WorkerNarrator(output.colors);
  const worker = startWorkerProcess({
    server: address,
    identity: identity?.path,
    name: options.name,
    engine: options.engine,
    pace: options.throttle,
    threads: options.threads,
    memoryBytes: options.memory,
    listen: options.listen,
    maxUpload: options.maxUpload,
    link: options.link,
    allowCode: options.allowCode,
    wait: options.wait ?? false,
    lookFor: options.lookFor,
    stateFolder: userState(),
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
  } else if (message.type === 'confined') {
    output.event({ event: 'confined', by: message.by, user: message.user });
    output.note(`jobs' modules run confined by ${message.by}: no files, no network, no environment, as user ${message.user}`);
  } else output.detail(JSON.stringify(message));
}
