import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';

/** What the user of a machine asks of their workers there. */
export interface LocalOrder {
  readonly order: 'pause' | 'unpause' | 'drain';
  readonly reason: string;
}

/** How a worker stands once it has heeded an order. */
export interface LocalStanding {
  readonly name: string;
  /** Empty: no server gave it an id yet. */
  readonly node: string;
  readonly server: string;
  /** Why it rests; empty: it does not. */
  readonly paused: string;
}

/** A worker that heeded an order. */
export interface LocalWorker extends LocalStanding {
  /** Resolves when its process has ended. */
  readonly ended: Promise<void>;
  /** Lets go of it, whether it has ended or not. */
  close(): void;
}

/** What takes the orders of its user. */
export interface LocalControl {
  close(): void;
}

const ORDERS: readonly unknown[] = ['pause', 'unpause', 'drain'];
const MOST_BYTES = 4096;
const ANSWER_MS = 5000;

/**
 * Takes orders from processes of the same user, at an entry in `folder`, until it is closed. On Unix the entry is a socket in a folder
 * that only its owner may enter; on Windows a named pipe has the name that the entry tells.
 * LongtailError `storage` where there can be none.
 */
export async function takeLocalOrders(folder: string, heed: (order: LocalOrder) => LocalStanding): Promise<LocalControl> {
  const entry = join(folder, String(process.pid));
  const server = createServer((socket) => void answer(socket, heed).catch(() => socket.destroy()));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    rmSync(entry, { force: true });
    if (process.platform === 'win32') writeFileSync(entry, '');
    server.listen(endpointOf(entry));
    await once(server, 'listening');
    if (process.platform !== 'win32') chmodSync(entry, 0o600);
  } catch (error) {
    throw new LongtailError(`no orders can be taken at ${entry}: ${error instanceof Error ? error.message : String(error)}`, {
      code: 'storage',
      where: entry,
      hint: 'Let LONGTAIL_STATE name a folder of your own, with a short path.',
      cause: error,
    });
  }
  server.unref();
  return { close: () => close(server, entry) };
}

/** What becomes of an order that not everybody heeds. */
export interface OrderOptions {
  /** Told the process of each worker that is there and gives no answer: it is stopped or stuck, or knows no such order. */
  readonly onSilent?: (pid: string) => void;
  /** That a worker has for its answer. @default 5000 */
  readonly patienceMs?: number;
}

/** Gives an order to every worker of this user on this machine; those that heeded it. */
export async function giveLocalOrder(folder: string, order: LocalOrder, { onSilent, patienceMs = ANSWER_MS }: OrderOptions = {}): Promise<readonly LocalWorker[]> {
  const workers = await Promise.all(
    entriesOf(folder).map(async (pid) => {
      const worker = await ask(join(folder, pid), order, patienceMs);
      if (worker === 'silent') onSilent?.(pid);
      return worker;
    }),
  );
  return workers.filter((worker) => worker !== 'gone' && worker !== 'silent');
}

function endpointOf(entry: string): string {
  return process.platform === 'win32' ? `\\\\.\\pipe\\longtail-${userInfo().username}-${entry.split(/[\\/]/).at(-1)}` : entry;
}

function close(server: Server, entry: string): void {
  server.close();
  rmSync(entry, { force: true });
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return []; // nobody ever joined
  }
}

async function answer(socket: Socket, heed: (order: LocalOrder) => LocalStanding): Promise<void> {
  // Held open: whoever asked hears of the end of this process.
  socket.unref().on('error', () => socket.destroy());
  const { order, reason } = JSON.parse(await firstLine(socket)) as LocalOrder;
  if (!ORDERS.includes(order) || typeof reason !== 'string') throw new Error('not an order');
  socket.write(`${JSON.stringify(heed({ order, reason }))}\n`);
}

/** `gone`: a kill left the entry behind. */
async function ask(entry: string, order: LocalOrder, patienceMs: number): Promise<LocalWorker | 'gone' | 'silent'> {
  const socket = connect(endpointOf(entry));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  try {
    await once(socket, 'connect');
  } catch {
    rmSync(entry, { force: true });
    return 'gone';
  }
  socket.on('error', () => undefined);
  const impatient = setTimeout(() => socket.destroy(), patienceMs);
  try {
    socket.write(`${JSON.stringify(order)}\n`);
    const standing = JSON.parse(await firstLine(socket)) as LocalStanding;
    return { ...standing, ended, close: () => socket.destroy() };
  } catch {
    socket.destroy();
    return 'silent';
  } finally {
    clearTimeout(impatient);
  }
}

async function firstLine(socket: Socket): Promise<string> {
  const lines = createInterface({ input: socket });
  socket.on('data', () => {
    if (socket.bytesRead > MOST_BYTES) socket.destroy(new Error('more than an order'));
  });
  const closed = once(socket, 'close').then(() => Promise.reject(new Error('it said nothing')));
  const [line] = (await Promise.race([once(lines, 'line'), closed])) as [string];
  closed.catch(() => undefined);
  return line;
}
