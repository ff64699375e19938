import type { ServerMessage } from '@longtail/parameter-server';
import { LongtailError } from '@longtail/core';
import { VERSION } from '../version.js';
import { Child } from './children.js';

export interface ServerProcessOptions {
  readonly runsFolder: string;
  /** Values that a chunk has; undefined: as many as anywhere. */
  readonly chunkLength?: number | undefined;
  /** As many workers as will ever join; undefined: any number. */
  readonly fleetSize?: number | undefined;
  /** The process is there, though it may not listen yet. */
  onStarted(child: Child): void;
  onLine?(line: string): void;
}

export interface ServerProcess {
  readonly child: Child;
  readonly address: string;
}

/** Starts a server on a free port of this machine, in a process of its own; resolves when it listens. */
export async function startServerProcess({ runsFolder, chunkLength, fleetSize, onStarted, onLine }: ServerProcessOptions): Promise<ServerProcess> {
  let heard: (address: string) => void;
  const listening = new Promise<string>((resolve) => (heard = resolve));
  const args = ['--port', '0', '--runs', runsFolder, '--version', VERSION];
  if (chunkLength !== undefined) args.push('--chunk-length', String(chunkLength));
  if (fleetSize !== undefined) args.push('--fleet-size', String(fleetSize));
  const child = Child.start({
    name: 'parameter server',
    module: import.meta.resolve('@longtail/parameter-server/main'),
    args,
    onMessage: (message) => {
      const known = message as ServerMessage;
      if (known.type === 'listening') heard(known.address);
    },
    onLine,
  });
  onStarted(child);
  const outcome = await Promise.race([listening, child.ended()]);
  if (outcome instanceof LongtailError) throw outcome;
  return { child, address: outcome };
}
