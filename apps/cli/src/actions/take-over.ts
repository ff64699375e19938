import { setTimeout as sleep } from 'node:timers/promises';
import { readCredentials } from '@longtail/access';
import { LongtailError } from '@longtail/core';
import { connectClient, type ControlClient } from '@longtail/transport/clients';
import { keptIdentity } from '../process/identity.js';
import type { Output } from '../terminal/output.js';

interface TakeOverOptions {
  /** That it is the standby of. */
  readonly server?: string;
  readonly force?: boolean;
}

const LOOK_MS = 100;
/** It writes the parameters of each run to its disk. */
const PATIENCE_MS = 120_000;

export async function takeOver(output: Output, { server, force = false }: TakeOverOptions, address: string): Promise<number> {
  const { signal } = new AbortController();
  const client = await connectClient(address, signal, await identityAt(address, server));
  try {
    await client.takeOver({ ordered: true, force }, signal);
    output.note(`${address} takes over`);
    const epoch = await untilServer(client, signal);
    if (output.json) output.event({ event: 'taken_over', address, epoch });
    else output.line(`${address} is the server now; nodes and clients find it by themselves`);
  } finally {
    client.close();
  }
  return 0;
}

/** A standby is of its server's authority: whoever is somebody there is known here. The standby's own machine has what it is there, too. */
async function identityAt(address: string, server: string | undefined) {
  const atServer = server === undefined ? [] : [keptIdentity(server, 'client'), keptIdentity(server, 'standby')];
  for (const keep of [keptIdentity(address, 'client'), ...atServer]) {
    const credentials = await readCredentials(keep);
    if (credentials !== undefined) return credentials;
  }
  return undefined;
}

/** Resolves with its epoch. */
async function untilServer(client: ControlClient, signal: AbortSignal): Promise<number> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (performance.now() < untilMs) {
    const { epoch } = await client.getServer(signal);
    if (epoch > 0) return epoch;
    await sleep(LOOK_MS);
  }
  throw new LongtailError(`${client.address} has not taken over yet`, { code: 'timeout', where: client.address, hint: 'Its log says what it is at.' });
}
