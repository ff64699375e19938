import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process of a benchmark that reports in JSON lines: `next()` is its next report, `exited` rejects unless it ends well. */
export function start(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  // The iterator is made now: lines that come before there is one are lost.
  const lines = parsed(createInterface({ input: child.stdout })[Symbol.asyncIterator]());
  const exited = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`${args.join(' ')} ended with ${signal ?? code}`))));
  });
  exited.catch(() => undefined);
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) {
      await exited;
      throw new Error(`${args.join(' ')} ended early`);
    }
    return value;
  };
  return { next, lines, exited };
}

async function* parsed(lines) {
  for await (const line of lines) yield JSON.parse(line);
}
