import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Tells machines apart without saying which they are: of each boot one, and of each container. */
export function hostName(): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  } catch {
    // Not Linux: the name alone has to do.
  }
  return createHash('sha256').update(`${hostname()} ${boot}`).digest('hex').slice(0, 16);
}
