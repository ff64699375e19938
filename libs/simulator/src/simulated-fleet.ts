import { LongtailError, type Codec, type Rng, type TensorChunk } from '@longtail/core';
import { Pauses, runWorker, type WorkerEvent } from '@longtail/runtime';
import type { Hello, Welcome, WorkerMessage } from '@longtail/protocol';
import type { Actor } from './actor.js';
import type { Arithmetic } from './arithmetic.js';
import { crc32c } from './checksum.js';
import type { FleetBook } from './fleet-account.js';
import type { Meddler } from './meddler.js';
import { MemoryFiles } from './memory-files.js';
import { LinkBook } from './node-account.js';
import { ProcessClock } from './process-clock.js';
import type { Scenario, SimulatedWorker } from './scenario.js';
import type { VirtualClock } from './virtual-clock.js';
import { VirtualCompute } from './virtual-compute.js';
import type { LinkSpec, VirtualLink, VirtualNetwork } from './virtual-network.js';

/** Of who names none. */
export const HOME: LinkSpec = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, rttMs: 1 };

/** A session as a worker has it, once it is welcome. */
export interface Admitted {
  readonly connection: VirtualLink['worker'];
  readonly welcome: Welcome;
}

/** What workers are among, and the server that they come to. */
export interface FleetHost {
  readonly clock: VirtualClock;
  readonly network: VirtualNetwork;
  readonly rng: Rng;
  readonly codecs: readonly Codec[];
  readonly arithmetic: Arithmetic;
  readonly meddler: Meddler;
  readonly book: FleetBook | undefined;
  /** All that were started. */
  readonly processes: readonly unknown[];
  /** Throws LongtailError `unreachable` where no server is there; `node` dials it. */
  checkThere(address: string | undefined, node: string): void;
  admit(link: VirtualLink, hello: Hello, welcomed: (node: string) => void): Promise<Admitted>;
}

/** The workers of a scenario, each a process on a machine of its own. */
export class SimulatedFleet {
  /** By name, the last on that machine. */
  readonly actors = new Map<string, Actor>();
  readonly events = new Map<string, WorkerEvent[]>();
  /** How each ended. */
  readonly ends = new Map<string, string>();
  /** Of all workers where nothing happens to any. */
  private readonly steadyClock: ProcessClock;

  constructor(
    private readonly scenario: Scenario,
    private readonly host: FleetHost,
  ) {
    this.steadyClock = new ProcessClock(host.clock);
  }

  /** A worker's process, on the machine of its name. Resolves when it has ended; never rejects. */
  async start(spec: SimulatedWorker, joinAtMs: number): Promise<void> {
    const { scenario, host } = this;
    const { clock, codecs, arithmetic, rng, network } = host;
    const { name, samplesPerSecond, overheadMs = 1, taskMs, jitter = 0, prepareMs = 100, memoryBytes = 2 ** 30, engine = 'cpu' } = spec;
    const device = { engine, description: `virtual ${samplesPerSecond}/s`, memoryBytes, gflops: 0, throttle: 1 };
    const { thermal, downloadBytes = 0, link = HOME } = spec;
    const downloadMs = (8000 * downloadBytes) / link.downBitsPerSecond;
    const pace = { samplesPerSecond, overheadMs, taskMs, prepareMs, jitter, thermal, downloadMs };
    const { createOptimizer, createVector = (length: number) => new Float32Array(length) } = arithmetic;
    const book = host.book?.node(name);
    const compute = new VirtualCompute({ clock, device, pace, rng: rng.fork(`${name} device`), model: spec.model ?? scenario.model, createOptimizer, createVector, watch: book });
    const actor: Actor = {
      clock: this.mayBeTold ? new ProcessClock(clock) : this.steadyClock,
      compute,
      files: new MemoryFiles(),
      stop: new AbortController(),
      finish: this.mayBeTold ? new AbortController() : undefined,
      pauses: new Pauses(),
      link: undefined,
      dead: false,
      unreachableUntilMs: 0,
      poisoned: undefined,
      message: undefined,
      tamperDown: undefined,
    };
    const events = this.events.get(name) ?? [];
    const rests = () => book?.rests(actor.pauses.paused !== '');
    rests();
    const unwatch = actor.pauses.watch(rests);
    this.actors.set(name, actor);
    this.events.set(name, events);
    try {
      await clock.sleep(joinAtMs, actor.stop.signal).catch(() => undefined);
      await runWorker({
        dial: (hello, _signal, address) => this.dial(spec, actor, hello, address),
        compute,
        fileCache: actor.files,
        codecs,
        createFeedback: (length, topK) => arithmetic.createFeedback(length, topK),
        crc32c,
        clock: actor.clock,
        rng: rng.fork(host.processes.length < scenario.fleet.length ? name : `${name}/${host.processes.length}`),
        signal: actor.stop.signal,
        finish: actor.finish?.signal,
        owner: actor.pauses,
        name,
        allowCode: false,
        log: scenario.keeps === undefined ? (event) => void events.push(event) : undefined,
        chunkLength: scenario.chunkLength ?? 16,
        wait: true,
        reconnectForMs: 60_000,
        peers: spec.peers && network.peers(name, spec.link ?? HOME, spec.peers === 'listens' ? name : '', this.watchOf(name)),
      });
      this.ends.set(name, 'left');
    } catch (error) {
      this.ends.set(name, LongtailError.from(error).code);
    } finally {
      unwatch(); // a later process on that machine has the same book
    }
  }

  private async dial(spec: SimulatedWorker, actor: Actor, hello: Hello, address: string | undefined): Promise<Admitted> {
    if (actor.dead) throw new LongtailError('this worker is no more', { code: 'refused' });
    const { host } = this;
    const { rttMs } = spec.link ?? HOME;
    const watch = this.watchOf(spec.name);
    let node = '';
    const { faults = [], sent } = this.scenario;
    const meddling = sent === undefined && faults.length === 0 ? undefined : {
      up: (chunk: TensorChunk) => {
        sent?.(node, chunk);
        return host.meddler.up(spec.name, actor, chunk);
      },
      down: (chunk: TensorChunk) => host.meddler.down(actor, chunk),
      message: (message: WorkerMessage) => host.meddler.message(spec.name, actor, message),
    };
    const link = host.network.connect(spec.name, spec.link ?? HOME, meddling, watch);
    await actor.clock.sleep(rttMs, actor.stop.signal);
    if (actor.dead || host.clock.nowMs() < actor.unreachableUntilMs) throw nobodyAnswers();
    host.checkThere(address, hello.node);
    actor.link = link;
    return host.admit(link, hello, (welcomed) => {
      node = welcomed;
      watch?.began();
    });
  }

  private watchOf(name: string): LinkBook | undefined {
    return this.host.book && new LinkBook(this.host.book.node(name));
  }

  /** Something happens to workers. */
  private get mayBeTold(): boolean {
    const { faults = [], churn = [] } = this.scenario;
    return faults.length > 0 || churn.length > 0;
  }
}

export function nobodyAnswers(): LongtailError {
  return new LongtailError('nobody answers', { code: 'unreachable', where: 'server' });
}
