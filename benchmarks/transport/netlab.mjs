// Network namespaces with links of their own (tools/netlab); for root.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const netlab = fileURLToPath(new URL('../../tools/netlab/netlab.py', import.meta.url));

/** Programs of other machines are not seen: no memory can be shared with them. */
const APART = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** Runs `measure` while the links stand; its argument makes command and arguments of a program in a host. */
export async function withLinks(hosts, measure) {
  const lab = spawn('python3', [netlab, JSON.stringify(hosts)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => lab.once('exit', resolve));
  await new Promise((resolve, reject) => {
    lab.stdout.once('data', resolve);
    lab.once('exit', () => reject(new Error('the links could not be made: netlab needs root')));
  });
  try {
    return await measure((host, command, args) => ['ip', ['netns', 'exec', `netlab-${host}`, ...APART, command, ...args]]);
  } finally {
    lab.stdin.end();
    await ended;
  }
}
