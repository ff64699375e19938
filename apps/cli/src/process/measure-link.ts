import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MeasuredLink } from '@longtail/core';
import { measureLink } from '@longtail/worker';
import type { Child } from './children.js';
import { nodeIdentity } from './identity.js';
import { startServerProcess } from './server-process.js';

const name = hostname();

/** To a server, as a node of it. Throws as `nodeIdentity` and `measureLink`. */
export async function measureServerLink(server: string, token: string | undefined, signal: AbortSignal): Promise<MeasuredLink> {
  const identity = await nodeIdentity(server, token, name, signal);
  return measureLink({ server, credentials: identity?.credentials, name, signal });
}

/** To a server on this machine, which is there only for that. */
export async function measureLoopback(signal: AbortSignal): Promise<MeasuredLink> {
  const runsFolder = await mkdtemp(join(tmpdir(), 'longtail-calibrate-'));
  let child: Child | undefined;
  try {
    const { address } = await startServerProcess({ runsFolder, onStarted: (started) => (child = started) });
    return await measureLink({ server: address, credentials: undefined, name, signal });
  } finally {
    await child?.leave('the link is measured');
    await rm(runsFolder, { recursive: true, force: true });
  }
}
