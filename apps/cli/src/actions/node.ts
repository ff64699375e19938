import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { userState } from '@longtail/core/user-folders';
import { giveLocalOrder, wallClock, type ControlClient, type LocalOrder, type LocalWorker } from '@longtail/transport/clients';
import { connect, type ServerChoice } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import type { Output } from '../terminal/output.js';

interface OrderOptions extends ServerChoice {
  readonly reason?: string;
}

type Order = Parameters<ControlClient['orderNode']>[0]['order'];

/** How often the server is asked whether a node is gone. */
const LOOK_EVERY_MS = 300;

export function pause(output: Output, options: OrderOptions, node: string | undefined): Promise<number> {
  return node === undefined ? orderHere(output, options, 'pause') : order(output, options, node, 'PAUSE');
}

export function unpause(output: Output, options: OrderOptions, node: string | undefined): Promise<number> {
  return node === undefined ? orderHere(output, options, 'unpause') : order(output, options, node, 'UNPAUSE');
}

async function orderHere(output: Output, options: OrderOptions, what: LocalOrder['order']): Promise<number> {
  for (const worker of await workersHere(output, options, what)) {
    const { name, node, server, paused } = worker;
    if (output.json) output.event({ event: 'node', name, node, server, paused });
    else output.line(`${name} at ${server}: ${paused === '' ? 'works' : `paused, ${paused}`}`);
    worker.close();
  }
  return 0;
}

/** LongtailError `usage` where there are none, `timeout` where none of them answers. */
async function workersHere(output: Output, options: OrderOptions, what: LocalOrder['order']): Promise<readonly LocalWorker[]> {
  const silent: string[] = [];
  const workers = await giveLocalOrder(join(userState(), 'control'), { order: what, reason: reasonOf(options) }, { onSilent: (pid) => silent.push(pid) });
  const unheard = `${silent.length === 1 ? 'a worker' : `${silent.length} workers`} of this machine did not answer (process ${silent.join(', ')})`;
  if (workers.length > 0) {
    if (silent.length > 0) output.note(output.colors.yellow(unheard));
    return workers;
  }
  if (silent.length > 0) throw new LongtailError(unheard, { code: 'timeout', hint: 'It is stopped or stuck, or of another version: end it, and join again.' });
  throw new LongtailError('no worker of yours runs on this machine', { code: 'usage', hint: `Name a node of the server: longtail ${what} NODE.` });
}

async function order(output: Output, options: OrderOptions, node: string, what: Order): Promise<number> {
  const { signal } = new AbortController();
  const client = await connect(options, signal);
  try {
    const row = await client.orderNode({ node, order: what, reason: reasonOf(options) }, signal);
    if (output.json) output.event({ event: 'node', ...row });
    else output.line(`${row.name} (${row.node}): ${row.paused === '' ? row.state : `${row.state}, ${row.paused}`}`);
    return 0;
  } finally {
    client.close();
  }
}

export async function drain(output: Output, options: OrderOptions, node: string | undefined): Promise<number> {
  const interruption = new Interruption(() => output.note('no longer waiting; the node leaves all the same'));
  try {
    await (node === undefined ? drainHere(output, options, interruption.signal) : drainNode(output, options, node, interruption.signal));
    return 0;
  } finally {
    interruption.restore();
  }
}

async function drainHere(output: Output, options: OrderOptions, signal: AbortSignal): Promise<void> {
  const interrupted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  const gone = (await workersHere(output, options, 'drain')).map(async ({ name, node, server, ended }) => {
    output.note(`${name} at ${server}: finishing what it holds …`);
    await ended;
    output.event({ event: 'drain', node, name, server, state: 'left' });
    output.note(`${name} at ${server}: it has left`);
  });
  await Promise.race([Promise.all(gone), interrupted]);
}

async function drainNode(output: Output, options: OrderOptions, node: string, signal: AbortSignal): Promise<void> {
  const client = await connect(options, signal);
  try {
    const row = await client.orderNode({ node, order: 'DRAIN', reason: reasonOf(options) }, signal);
    await untilGone(client, row.node, output, signal);
  } finally {
    client.close();
  }
}

/** Tells of every change of its state. LongtailError `cancelled` when interrupted. */
async function untilGone(client: ControlClient, node: string, output: Output, signal: AbortSignal): Promise<void> {
  let told = '';
  for (;;) {
    const { nodes } = await client.listNodes(signal);
    const row = nodes.find((one) => one.node === node);
    const others = nodes.filter((one) => one.node !== node && one.paused === '').length;
    const state = row?.state ?? 'left';
    if (state !== told) {
      output.event({ event: 'drain', node, state, run: row?.run ?? '', others });
      output.note(describe(state, row?.run ?? '', others));
    }
    if (row === undefined) return;
    told = state;
    await wallClock.sleep(LOOK_EVERY_MS, signal);
  }
}

function describe(state: string, run: string, others: number): string {
  if (state !== 'left') return `${state}${run === '' ? '' : ` what it holds of run ${run}`} …`;
  return others > 0 ? `it has left; ${others} other${others === 1 ? '' : 's'} work${others === 1 ? 's' : ''} on` : 'it has left, and was the last worker: runs wait for another one';
}

function reasonOf({ reason }: OrderOptions): string {
  return reason ?? '';
}
