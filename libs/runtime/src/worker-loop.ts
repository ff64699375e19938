import { BackOff, formatSeconds, isAway, LongtailError, type Rng } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type Welcome } from '@longtail/protocol';
import { CHUNK_LENGTH } from './grid.js';
import { Pauses, type Owner } from './pauses.js';
import type { WorkerConnection } from './ports.js';
import type { WorkerRunContext } from './worker-run-context.js';
import { WorkerSession } from './worker-session.js';

export interface WorkerOptions extends Omit<WorkerRunContext, 'connection' | 'session' | 'chunkLength'> {
  /**
   * Says hello to the server, or to the one at `address` that may have taken over from it, and resolves once it has welcomed; rejects with
   * LongtailError `unreachable`, `refused` or `protocol`.
   */
  dial(hello: Hello, signal: AbortSignal, address?: string): Promise<{ readonly connection: WorkerConnection; readonly welcome: Welcome }>;
  readonly rng: Rng;
  /** Abort to leave: leases go back at once, nothing is finished. */
  readonly signal: AbortSignal;
  /** Abort to leave once what it holds is finished, however long that takes. @default never */
  readonly finish?: AbortSignal;
  /** @default one who always lets it work */
  readonly owner?: Owner;
  readonly name: string;
  /** Jobs may run their own modules here. */
  readonly allowCode: boolean;
  /** What its owner lets it send, of all tensors together; the server plans with it. @default 0: as fast as the link is */
  readonly maxUploadBitsPerSecond?: number;
  /** The node's id, kept from one process to the next. @default a new one for each process */
  readonly identity?: NodeIdentity;
  /** Names the host to the server: workers with the same name reach each other's loopback addresses. @default '': not known */
  readonly host?: string;
  /** Keep dialling when no server is there at the start. @default false */
  readonly wait?: boolean;
  /** How long to look for a server that went away, or that cannot be reached. @default as long as it takes */
  readonly reconnectForMs?: number;
  /** Values a chunk of a tensor; must equal the server's. @default 262144 */
  readonly chunkLength?: number | undefined;
}

/** Where a node keeps the id that a server gave it. */
export interface NodeIdentity {
  /** Empty: none yet. */
  readonly node: string;
  remember(node: string): void;
}

/**
 * Serves a parameter server with a device until told to stop, through as many sessions as it takes. Resolves with why it left,
 * by its owner's will or the server's.
 * @throws LongtailError `unreachable` when no server is there at the start (unless `wait`) or it stays away too long;
 * `refused` or `protocol` when it does not want this worker.
 */
export async function runWorker(options: WorkerOptions): Promise<{ readonly reason: string }> {
  const { clock, compute, fileCache, codecs, createFeedback, crc32c, allocate, signal, log, rng, name, allowCode, peers, host = '', maxUploadBitsPerSecond = 0 } = options;
  const owner = options.owner ?? new Pauses();
  const { finish } = options;
  const stop = finish === undefined ? signal : AbortSignal.any([signal, finish]);
  const tellPause = () => log?.(owner.paused === '' ? { event: 'resumed' } : { event: 'paused', reason: owner.paused });
  const unwatch = owner.watch(tellPause);
  signal.addEventListener('abort', unwatch, { once: true });
  if (owner.paused !== '') tellPause();
  let incarnation = drawIncarnation(rng);
  const known = { node: options.identity?.node ?? '', epoch: 0 };
  const hello = (): Hello => ({
    protocol: PROTOCOL_VERSION,
    name,
    incarnation,
    device: compute.device,
    allowCode,
    peerAddress: peers?.address ?? '',
    host,
    maxUploadBitsPerSecond,
    node: known.node,
    paused: owner.paused,
    curveKey: '', // the transport's to fill in
    epoch: known.epoch,
    standbyAddress: '',
  });
  const search = new Search(options, stop);
  const standby = (address: string) => search.standby(address);
  const { chunkLength = CHUNK_LENGTH } = options;
  while (!stop.aborted) {
    const said = hello();
    const found = await search.dial(said);
    if (found === undefined) break;
    const { node, epoch } = found.welcome;
    if (node !== known.node) options.identity?.remember(node);
    known.node = node;
    known.epoch = epoch;
    log?.({ event: 'joined', node, peer: found.connection.peer });
    // Named one by one: an object that another one is spread into has a hidden class of its own, for each of thousands of workers.
    const context = { standby, compute, fileCache, codecs, createFeedback, crc32c, allocate, clock, chunkLength, log, peers, owner, saidPaused: said.paused };
    const session = new WorkerSession(found.connection, found.welcome, context);
    const reason = await session.serve(signal, finish);
    log?.({ event: 'disconnected', reason });
    if (session.dismissed !== undefined) return { reason };
    // What it missed meanwhile says nothing of it: to the server it is as if it was started anew.
    if (session.stoodStill) incarnation = drawIncarnation(rng);
    search.lost();
  }
  return { reason: 'left' };
}

function drawIncarnation(rng: Rng): string {
  return [rng.uint32(), rng.uint32()].map((word) => word.toString(16).padStart(8, '0')).join('');
}

/** Looks for the server, or for whoever has taken over from it, with growing pauses. */
class Search {
  private sinceMs: number;
  private everJoined = false;
  /** Addresses that may have it, the last known first; undefined: the one that the worker was told. */
  private addresses: readonly (string | undefined)[] = [undefined];
  private readonly backOff: BackOff;

  constructor(
    private readonly options: WorkerOptions,
    private readonly signal: AbortSignal,
  ) {
    this.sinceMs = options.clock.nowMs();
    this.backOff = new BackOff(options.rng);
  }

  /** That takes over when the server dies; empty: nobody does. */
  standby(address: string): void {
    const [current] = this.addresses;
    this.addresses = address === '' || address === current ? [current] : [current, address];
  }

  /** A session ended: the search starts anew. */
  lost(): void {
    this.sinceMs = this.options.clock.nowMs();
  }

  /** Undefined when the signal aborted. */
  async dial(hello: Hello): Promise<Awaited<ReturnType<WorkerOptions['dial']>> | undefined> {
    const { signal, options: { log } } = this;
    for (;;) {
      try {
        const found = await this.dialAny(hello, signal);
        this.everJoined = true;
        this.backOff.reset();
        return found;
      } catch (thrown) {
        if (signal.aborted) return undefined;
        const error = LongtailError.from(thrown, 'unreachable');
        if (!this.mayTryAgain(error)) throw this.explain(error);
        const inMs = this.backOff.nextMs();
        log?.({ event: 'reconnecting', inMs, reason: error.message });
        if (!(await this.pause(inMs))) return undefined;
      }
    }
  }

  /**
   * The standby first: it knows at once whether the server is there, and is to know who lost it. The error is that of the last one.
   */
  private async dialAny(hello: Hello, signal: AbortSignal): ReturnType<WorkerOptions['dial']> {
    const [current, ...others] = this.addresses;
    for (const address of others) {
      try {
        const found = await this.dialOne(hello, signal, address);
        this.addresses = [address, current];
        return found;
      } catch (thrown) {
        if (signal.aborted || LongtailError.from(thrown, 'unreachable').code !== 'unreachable') throw thrown;
      }
    }
    return this.dialOne(hello, signal, current);
  }

  private async dialOne(hello: Hello, signal: AbortSignal, address: string | undefined): ReturnType<WorkerOptions['dial']> {
    const found = await this.options.dial(hello, signal, address);
    const { epoch } = found.welcome;
    if (epoch >= hello.epoch) return found;
    const reason = `the server is of epoch ${epoch}, and epoch ${hello.epoch} has begun elsewhere`;
    found.connection.close(reason);
    throw new LongtailError(reason, { code: 'unreachable', where: found.connection.peer });
  }

  private mayTryAgain(error: LongtailError): boolean {
    if (!isAway(error)) return false;
    if (!this.everJoined) return this.options.wait ?? false;
    return this.options.clock.nowMs() - this.sinceMs < this.reconnectForMs;
  }

  private explain(error: LongtailError): LongtailError {
    if (!isAway(error) || !this.everJoined) return error;
    return new LongtailError(`the server was away for ${formatSeconds(this.reconnectForMs / 1000)}: ${error.message}`, {
      code: 'unreachable',
      where: error.where,
      hint: error.hint,
      cause: error,
    });
  }

  /** False when the signal aborted. */
  private pause(ms: number): Promise<boolean> {
    return this.options.clock.sleep(ms, this.signal).then(
      () => true,
      () => false,
    );
  }

  private get reconnectForMs(): number {
    return this.options.reconnectForMs ?? Infinity;
  }
}
