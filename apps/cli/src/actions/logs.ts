import { join } from 'node:path';
import type { StoredEvent } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { readEvents, readRun, RUN_FILES } from '@longtail/store';
import { connect, type ServerChoice } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import type { Output } from '../terminal/output.js';
import { RunServer, watchRun } from '../terminal/run-events.js';
import { PlainNarrator } from '../view/plain.js';
import { advance, NOTHING_YET } from '../view/progress.js';
import { findRunFolder } from './run-folder.js';

interface LogsOptions extends ServerChoice {
  readonly runs: string;
  readonly follow?: boolean;
}

export async function logs(output: Output, options: LogsOptions, run: string): Promise<number> {
  const events = options.follow ? undefined : await storedEvents(run, options.runs);
  const teller = createTeller(output);
  if (events !== undefined) events.forEach(teller);
  else await follow(run, options, output, teller);
  return 0;
}

/** Events in the run's folder; undefined when it is not here. */
async function storedEvents(run: string, runsFolder: string): Promise<readonly StoredEvent[] | undefined> {
  try {
    return await readEvents(join(await findRunFolder(run, runsFolder), RUN_FILES.events));
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'missing-file') return undefined;
    throw error;
  }
}

async function follow(run: string, server: ServerChoice, output: Output, tell: (event: StoredEvent) => void): Promise<void> {
  const interruption = new Interruption(() => undefined);
  const client = await connect(server, interruption.signal);
  try {
    for await (const event of watchRun(new RunServer(client), await runId(run), output.note, interruption.signal)) tell(event);
  } finally {
    client.close();
    interruption.restore();
  }
}

/** The server knows runs by their id; a folder holds one. */
async function runId(run: string): Promise<string> {
  return readRun(run).then(
    ({ id }) => id,
    () => run,
  );
}

function createTeller(output: Output): (event: StoredEvent) => void {
  const narrator = new PlainNarrator(output.colors, 0);
  let progress = NOTHING_YET;
  return (stored) => {
    progress = advance(progress, stored);
    if (output.json) return output.event({ ...stored.body, seq: stored.seq, timeMs: stored.timeMs });
    const clock = output.colors.dim(new Date(stored.timeMs).toTimeString().slice(0, 8));
    for (const line of narrator.tell(stored, progress)) output.line(`${clock} ${line}`);
  };
}
