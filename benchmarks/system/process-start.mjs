// What a process loads before it can dial: processor time and time of importing modules, of this checkout and of others that are built, in
// turn. A worker's, or what a command that asks a server loads.
//   node benchmarks/system/process-start.mjs [--runs 15] [--command] [CHECKOUT …]
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({ options: { runs: { type: 'string', default: '15' }, command: { type: 'boolean', default: false } }, allowPositionals: true });
const checkouts = [resolve(import.meta.dirname, '../..'), ...positionals.map((path) => resolve(path))];
const script = `
  const [beganMs, before] = [performance.now(), process.cpuUsage()];
  for (const module of process.argv.slice(1)) await import(module);
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify([(user + system) / 1000, performance.now() - beganMs]));
  process.exit();`;

const modules = values.command ? ['apps/cli/dist/program.js', 'apps/cli/dist/process/identity.js'] : ['apps/worker/dist/start-worker.js'];
const taken = checkouts.map(() => []);
for (let run = 0; run < Number(values.runs); run++) {
  for (const [i, checkout] of checkouts.entries()) {
    const urls = modules.map((module) => pathToFileURL(resolve(checkout, module)).href);
    taken[i].push(JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', script, ...urls], { encoding: 'utf8' })));
  }
}
for (const [i, checkout] of checkouts.entries()) {
  const [cpu, wall] = [0, 1].map((at) => taken[i].map((one) => one[at]).sort((a, b) => a - b));
  const told = (times) => `least ${times[0].toFixed(0)} ms, median ${times[times.length >> 1].toFixed(0)} ms`;
  console.log(`${checkout}: processor ${told(cpu)}; time ${told(wall)}`);
}
