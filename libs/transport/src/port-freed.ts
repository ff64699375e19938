import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address } from './address.js';

const RETRY_MS = 5;
const MOST_TRIES = 200;

/** Resolves when the port can be listened on again, or after a second: then it is for the next who binds it to complain. */
export async function portFreed(address: Address): Promise<void> {
  for (let tries = 0; tries < MOST_TRIES && !(await canListen(address)); tries++) await sleep(RETRY_MS);
}

async function canListen({ host, port }: Address): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen({ host, port, exclusive: true });
    await once(probe, 'listening');
  } catch {
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}
