import {
  createRng,
  LongtailError,
  type Codec,
  type CodecName,
  type EngineName,
  type Job,
  type Lease,
  type LeaseBook,
  type LayoutPlan,
  type ParameterShard,
  type RunEvent,
  type StoredEvent,
  type SyncStrategy,
  type Verdict,
} from '@longtail/core';
import { createLeaseBook } from '@longtail/data';
import { CODEC_IDS, createCodec, createErrorFeedback, createKernels, learningRateAt } from '@longtail/kernels';
import { createServer, runWorker, type ServedFile, type Server, type WorkerEvent } from '@longtail/runtime';
import { createSchedule } from '@longtail/schedule';
import { balancedShares, chooseSync, createStrategy } from '@longtail/sync';
import { referenceArithmetic, type Arithmetic } from './arithmetic.js';
import { tamper, type Fault } from './faults.js';
import { Ledger, type CommittedLeases } from './ledger.js';
import { Life } from './life.js';
import { MemoryFiles } from './memory-files.js';
import { MemoryStore } from './memory-store.js';
import type { VirtualModel } from './model.js';
import { VirtualClock } from './virtual-clock.js';
import { VirtualCompute } from './virtual-compute.js';
import { VirtualNetwork, type LinkSpec, type VirtualLink } from './virtual-network.js';

export interface SimulatedWorker {
  readonly name: string;
  readonly samplesPerSecond: number;
  /** Of every task, whatever its size. @default 1 */
  readonly overheadMs?: number;
  /** Passes take up to this fraction more or less, as drawn from the seed. @default 0 */
  readonly jitter?: number;
  /** @default 100 */
  readonly prepareMs?: number;
  /** What it offers; by what models say that they take, not by what they take here. @default 1 GiB */
  readonly memoryBytes?: number;
  /** When it dials for the first time. @default 0 */
  readonly joinAtMs?: number;
  /** @default 1 Gbit/s both ways, 1 ms */
  readonly link?: LinkSpec;
  /** @default 'cpu' */
  readonly engine?: EngineName;
  /** Direct links to neighbours: it can be dialled, or only dials. @default everything goes through the server */
  readonly peers?: 'listens' | 'dials';
  /** Its own model, to see what happens when workers disagree. @default the scenario's */
  readonly model?: VirtualModel;
}

export interface Scenario {
  readonly job: Job;
  /** Files that workers must have before they can prepare. */
  readonly files?: readonly ServedFile[];
  /** Jobs launched right after it. */
  readonly queued?: readonly Job[];
  readonly model: VirtualModel;
  readonly fleet: readonly SimulatedWorker[];
  readonly seed: number;
  readonly faults?: readonly Fault[];
  /** Values a chunk. @default 16, so that small models have several */
  readonly chunkLength?: number;
  readonly serverBitsPerSecond?: number;
  readonly heartbeatMs?: number;
  /** Bytes of the largest transfer that measures a link; time here is exact, so that small ones say as much. @default 0: none is measured */
  readonly probeBytes?: number;
  /** Of virtual time. @default one day */
  readonly limitMs?: number;
  /** In the place of the optimizers of libs/kernels, on the server and on the devices. */
  readonly arithmetic?: Arithmetic;
  /** @default what the job says, else everybody solo */
  readonly layout?: LayoutPlan;
  /** In the place of the one that the job names; the outer step is the job's. */
  readonly strategy?: SyncStrategy;
  /** Told of each commit of the first run; `parameters` reads those of the server then. */
  committed?(commit: Commit, nowMs: number, parameters: () => Float32Array): void;
}

type Commit = Extract<RunEvent, { readonly event: 'commit' }>;

/** Of the first job, unless it says otherwise. */
export interface Outcome {
  readonly verdict: Verdict;
  /** Runs of the queued jobs. */
  readonly queued: readonly MemoryStore[];
  readonly events: readonly StoredEvent[];
  /** Of the server when the run ended. */
  readonly parameters: Float32Array;
  readonly steps: number;
  readonly leases: ReturnType<LeaseBook['totals']>;
  /** Samples of each commit, lease by lease, in the order in which they were applied. */
  readonly ledger: readonly CommittedLeases[];
  readonly lost: readonly Lease[];
  readonly store: MemoryStore;
  /** Faults that did something. */
  readonly fired: ReadonlySet<Fault>;
  readonly workerEvents: ReadonlyMap<string, readonly WorkerEvent[]>;
  /** Files that each worker got from the server, by sha256. */
  readonly workerFiles: ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;
  /** How each worker ended: `left`, or the code of its error. */
  readonly workerEnds: ReadonlyMap<string, string>;
  readonly virtualMs: number;
}

const HOME: LinkSpec = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, rttMs: 1 };
const DAY_MS = 86_400_000;
/** Codecs and checksums keep no state: every simulation uses the same. */
const kernels = createKernels();

/** Runs one job on a fleet in virtual time: the runtime of the live system on a virtual clock, network and devices. */
export async function simulate(scenario: Scenario): Promise<Outcome> {
  return new Simulation(scenario).run();
}

interface Actor {
  readonly compute: VirtualCompute;
  readonly files: MemoryFiles;
  readonly stop: AbortController;
  link: VirtualLink | undefined;
  /** No new dials after this. */
  dead: boolean;
  poisoned: Fault | undefined;
}

class Simulation {
  private readonly clock = new VirtualClock();
  private readonly codecs: readonly Codec[];
  private readonly network: VirtualNetwork;
  private life: Life;
  private server: Server;
  private lives = 0;
  private readonly actors = new Map<string, Actor>();
  private readonly fired = new Set<Fault>();
  private readonly workerEvents = new Map<string, WorkerEvent[]>();
  private readonly workerEnds = new Map<string, string>();
  private readonly rng;
  private shard: ParameterShard | undefined;
  private leases: LeaseBook | undefined;
  private readonly stores: MemoryStore[] = [];
  private readonly verdicts = new Map<string, (verdict: Verdict) => void>();
  private readonly ledger = new Ledger();
  private links = 0;

  constructor(private readonly scenario: Scenario) {
    const { seed, serverBitsPerSecond = 1e9 } = scenario;
    const { clock } = this;
    this.rng = createRng(seed);
    this.codecs = (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels));
    this.network = new VirtualNetwork({
      clock,
      serverUpBitsPerSecond: serverBitsPerSecond,
      serverDownBitsPerSecond: serverBitsPerSecond,
      crc32c: (bytes) => kernels.crc32c(bytes),
    });
    this.life = new Life(clock);
    this.server = this.startServer();
  }

  private startServer(): Server {
    const { scenario, life } = this;
    const { chunkLength = 16, heartbeatMs, probeBytes = 0 } = scenario;
    return createServer(
      {
        clock: life.clock,
        rng: this.rng.fork(`server${this.lives++ || ''}`),
        codecs: this.codecs,
        openRun: async (job) => this.openRun(job),
        createShard: (layout, optimizer, differences) => this.keepShard(this.arithmetic.createShard(layout.length, optimizer, differences)),
        createLeases: ({ train }, samplesPerEpoch, state) =>
          this.keepLeases(createLeaseBook({ samplesPerEpoch, epochs: train.epochs, maxSamples: train.maxSamples, state })),
        strategy: ({ sync }) => scenario.strategy ?? createStrategy(sync),
        chooseSync,
        shares: balancedShares(),
        layout: scenario.layout,
        linkKey: () => `link-${++this.links}`,
        schedule: createSchedule,
        learningRate: learningRateAt,
      },
      { chunkLength, heartbeatMs, probeBytes },
    );
  }

  async run(): Promise<Outcome> {
    const { scenario, clock } = this;
    const workers = scenario.fleet.map((spec) => this.startWorker(spec));
    for (const fault of scenario.faults ?? []) if ('atMs' in fault) clock.at(fault.atMs, () => this.fire(fault));
    const jobs = [scenario.job, ...(scenario.queued ?? [])];
    const launched = Promise.all(jobs.map((job) => this.server.launch(job, scenario.files ?? [])));
    const ended = launched.then((runs) => Promise.all(runs.map(({ run }) => this.verdict(run)))).then(([first]) => first!);
    const verdict = await clock.runUntil(ended, scenario.limitMs ?? DAY_MS).catch((error: unknown) => {
      const last = this.store?.events.slice(-8).map(({ timeMs, body }) => `${timeMs.toFixed(1)} ${JSON.stringify(body)}`);
      throw new Error([String(error), ...(last ?? [])].join('\n'), { cause: error });
    });
    const virtualMs = clock.nowMs();
    for (const { stop } of this.actors.values()) stop.abort();
    await clock.runUntil(Promise.all([this.server.close('the simulation is over'), ...workers]));
    return {
      verdict,
      queued: this.stores.slice(1),
      events: this.store!.events,
      parameters: this.parameters(),
      steps: this.shard?.steps ?? 0,
      leases: this.leases?.totals() ?? { total: 0, applied: 0, lost: 0, leased: 0, free: 0 },
      ledger: this.ledger.commits(this.store!.events),
      lost: this.ledger.lost,
      store: this.store!,
      fired: this.fired,
      workerEvents: this.workerEvents,
      workerFiles: new Map([...this.actors].map(([name, { files }]) => [name, files.received])),
      workerEnds: this.workerEnds,
      virtualMs,
    };
  }

  private get store(): MemoryStore | undefined {
    return this.stores[0];
  }

  private openRun(job: Job): MemoryStore {
    return this.openStore(this.stores.length, job);
  }

  private openStore(index: number, job: Job, before?: MemoryStore): MemoryStore {
    const { life } = this;
    const appended = (event: StoredEvent) => {
      if (life.isOver) throw new Error(`a server that was killed logs ${event.body.event}`);
      if (index === 0) this.tell(event);
    };
    return (this.stores[index] = new MemoryStore(`run-${index + 1}`, job, { clock: life.clock, writeMs: 50, appended }, before));
  }

  /** Of a run, whichever server says it. */
  private verdict(run: string): Promise<Verdict> {
    const said = new Promise<Verdict>((resolve) => this.verdicts.set(run, resolve));
    this.hear(run);
    return said;
  }

  private hear(run: string): void {
    void this.server.verdict(run).then((verdict) => this.verdicts.get(run)!(verdict));
  }

  private killServer(): void {
    this.life.end();
    for (const { link } of this.actors.values()) link?.cut('the server was killed');
  }

  /** Another process over the same folders. */
  private restartServer(): void {
    const { scenario, clock } = this;
    this.life = new Life(clock);
    this.server = this.startServer();
    if (this.store?.verdict === undefined) this.shard = this.leases = undefined;
    for (const [index, before] of this.stores.entries()) {
      if (before.verdict !== undefined) continue;
      const store = this.openStore(index, before.job, before);
      const snapshot = store.checkpoints.at(-1);
      this.server.resume({ store, job: store.job, files: scenario.files ?? [], snapshot, past: [...store.events], reason: 'its server was killed' });
      this.hear(store.run);
    }
  }

  private tell({ timeMs, body }: StoredEvent): void {
    if (body.event === 'commit') this.scenario.committed?.(body, timeMs, () => this.parameters());
  }

  private parameters(): Float32Array {
    const parameters = new Float32Array(this.shard?.length ?? 0);
    this.shard?.readParameters(parameters);
    return parameters;
  }

  /** The first run's is kept for the outcome. */
  private keepShard(shard: ParameterShard): ParameterShard {
    this.shard ??= shard;
    return shard;
  }

  private keepLeases(leases: LeaseBook): LeaseBook {
    if (this.leases !== undefined) return leases;
    this.leases = this.ledger.record(leases, this.store!.events);
    return this.leases;
  }

  private get arithmetic(): Arithmetic {
    return this.scenario.arithmetic ?? referenceArithmetic;
  }

  private async startWorker(spec: SimulatedWorker): Promise<void> {
    const { clock, scenario } = this;
    const { name, samplesPerSecond, overheadMs = 1, jitter = 0, prepareMs = 100, memoryBytes = 2 ** 30, joinAtMs = 0, engine = 'cpu' } = spec;
    const device = { engine, description: `virtual ${samplesPerSecond}/s`, memoryBytes, gflops: 0, throttle: 1 };
    const pace = { samplesPerSecond, overheadMs, prepareMs, jitter };
    const { createOptimizer: makeOptimizer } = this.arithmetic;
    const compute = new VirtualCompute({ clock, device, pace, rng: this.rng.fork(`${name} device`), model: spec.model ?? scenario.model, createOptimizer: makeOptimizer });
    const actor: Actor = {
      compute,
      files: new MemoryFiles(),
      stop: new AbortController(),
      link: undefined,
      dead: false,
      poisoned: undefined,
    };
    const events: WorkerEvent[] = [];
    this.actors.set(name, actor);
    this.workerEvents.set(name, events);
    try {
      await clock.sleep(joinAtMs, actor.stop.signal).catch(() => undefined);
      const { reason } = await runWorker({
        dial: (hello) => this.dial(spec, actor, hello),
        compute,
        fileCache: actor.files,
        codecs: this.codecs,
        createFeedback: (length, topK) => createErrorFeedback({ length, topK, implementation: 'reference' }),
        crc32c: (bytes) => kernels.crc32c(bytes),
        clock,
        rng: this.rng.fork(name),
        signal: actor.stop.signal,
        name,
        allowCode: false,
        log: (event) => events.push(event),
        chunkLength: scenario.chunkLength ?? 16,
        wait: true,
        reconnectForMs: 60_000,
        peers: spec.peers && this.network.peers(name, spec.link ?? HOME, spec.peers === 'listens' ? name : ''),
      });
      this.workerEnds.set(name, reason);
    } catch (error) {
      this.workerEnds.set(name, LongtailError.from(error).code);
    }
  }

  private async dial(spec: SimulatedWorker, actor: Actor, hello: Parameters<Server['onSession']>[1]) {
    if (actor.dead) throw new LongtailError('this worker is no more', { code: 'refused' });
    const { clock } = this;
    const link = this.network.connect(spec.name, spec.link ?? HOME, (chunk) => this.alter(spec.name, chunk));
    await clock.sleep((spec.link ?? HOME).rttMs, actor.stop.signal);
    const { life } = this;
    if (life.isOver) throw new LongtailError('nobody answers', { code: 'unreachable', where: 'server' });
    actor.link = link;
    return new Promise<{
      connection: VirtualLink['worker'];
      welcome: { node: string; heartbeatMs: number; protocol: number; tensorPort: number; tensorKey: string; tensorCurveKey: string };
    }>((resolve) => {
      // The welcome is the transport's to read: it is taken out of the stream before the worker gets the rest.
      const { server } = link;
      const connection: VirtualLink['server'] = {
        get peer() {
          return server.peer;
        },
        get traffic() {
          return server.traffic;
        },
        get sending() {
          return server.sending;
        },
        start: (handlers) => server.start(life.guard(handlers)),
        send: (message) =>
          message.message === 'welcome' ? resolve({ connection: link.worker, welcome: message.welcome }) : server.send(message),
        sendTensor: (tensor, signal) => life.wait(server.sendTensor(tensor, signal)),
        close: (reason) => server.close(reason),
      };
      this.server.onSession(connection, hello);
    });
  }

  /** Tampering with one chunk, at most once a fault. */
  private alter(worker: string, chunk: Parameters<typeof tamper>[1]) {
    const crc = (bytes: Uint8Array) => kernels.crc32c(bytes);
    const { poisoned } = this.actors.get(worker)!;
    if (poisoned !== undefined) {
      this.fired.add(poisoned);
      return tamper('nan', chunk, crc);
    }
    for (const fault of this.scenario.faults ?? []) {
      if (fault.kind !== 'tamper' || fault.worker !== worker || this.fired.has(fault)) continue;
      if (fault.round !== chunk.header.round || fault.chunk !== chunk.header.chunk || chunk.header.round === 0) continue;
      this.fired.add(fault);
      return tamper(fault.how, chunk, crc);
    }
    return [chunk];
  }

  private fire(fault: Extract<Fault, { atMs: number }>): void {
    if (!('worker' in fault)) {
      if (!this.life.isOver) this.strikeServer(fault);
      return;
    }
    const actor = this.actors.get(fault.worker);
    if (actor === undefined) throw new Error(`no worker ${fault.worker}`);
    if (fault.kind === 'poison') {
      actor.poisoned = fault; // fires with the first chunk
      return;
    }
    this.fired.add(fault);
    this.strikeActor(actor, fault);
  }

  private strikeServer(fault: Exclude<Extract<Fault, { atMs: number }>, { worker: string }>): void {
    this.fired.add(fault);
    switch (fault.kind) {
      case 'kill-server':
        this.killServer();
        this.clock.at(this.clock.nowMs() + fault.forMs, () => this.restartServer());
        return;
      case 'cancel':
        void this.server.cancel(this.store!.run, 'the user said so');
        return;
      case 'disk-full':
        this.store!.full.add(fault.what);
    }
  }

  private strikeActor(actor: Actor, fault: Extract<Fault, { atMs: number; worker: string }>): void {
    const { clock } = this;
    switch (fault.kind) {
      case 'cut':
        return actor.link?.cut('the link was cut');
      case 'cut-peers':
        return this.network.cutPeers(fault.worker, 'the links were cut');
      case 'stall':
        return actor.link?.stall(fault.forMs);
      case 'kill':
        actor.dead = true;
        this.network.cutPeers(fault.worker, 'the process was killed');
        return actor.link?.cut('the process was killed');
      case 'leave':
        return actor.stop.abort();
      case 'slow':
        actor.compute.slowdown *= fault.factor;
        clock.at(clock.nowMs() + fault.forMs, () => {
          actor.compute.slowdown /= fault.factor;
        });
        return;
      case 'fail':
        actor.compute.failure = new LongtailError('the device gave up', { code: 'engine' });
        return;
      case 'poison':
        actor.poisoned = fault;
    }
  }
}
