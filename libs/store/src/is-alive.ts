import { readFileSync } from 'node:fs';

/** Is there a process with this id? */
export function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return !isThreadOrEnded(pid);
}

/** Linux gives ids to threads too, which share one row of numbers with processes, and keeps those that have ended until their parents ask. */
function isThreadOrEnded(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1]) !== pid || /^State:\s*[ZX]/m.test(status);
  } catch {
    return false; // hidden from this user: all that is known is that it is there
  }
}
