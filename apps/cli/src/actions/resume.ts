import type { Overrides } from '@longtail/spec';
import type { ControlClient } from '@longtail/transport';
import { connect, type ServerChoice } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import type { Output } from '../terminal/output.js';
import { showRun } from '../terminal/run-job.js';

interface ResumeOptions extends ServerChoice {
  readonly detach?: boolean;
}

interface ForkOptions extends ResumeOptions {
  readonly at?: number;
  readonly set: Overrides;
}

type Begun = Awaited<ReturnType<ControlClient['resume']>>;

export function resume(output: Output, options: ResumeOptions, run: string): Promise<number> {
  return begin(output, options, 'resumed', (client, signal) => client.resume({ run }, signal));
}

export function fork(output: Output, options: ForkOptions, run: string): Promise<number> {
  const request = { run, version: options.at ?? 0, overridesJson: JSON.stringify(options.set) };
  return begin(output, options, 'forked', (client, signal) => client.fork(request, signal));
}

async function begin(
  output: Output,
  options: ResumeOptions,
  event: 'resumed' | 'forked',
  ask: (client: ControlClient, signal: AbortSignal) => Promise<Begun>,
): Promise<number> {
  const { signal } = new AbortController();
  const client = await connect(options, signal);
  try {
    const begun = await ask(client, signal);
    if (options.detach) {
      if (output.json) output.event({ event, ...begun });
      else output.line(begun.run);
      return 0;
    }
    const interruption = new Interruption(() => output.note('cancelling; the model is saved first (Ctrl-C again to leave at once)'));
    try {
      return await showRun(client, begun, output, interruption.signal);
    } finally {
      interruption.restore();
    }
  } finally {
    client.close();
  }
}
