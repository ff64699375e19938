import {
  createRng,
  LongtailError,
  type AskLayout,
  type Codec,
  type Job,
  type LeaseBook,
  type ParameterShard,
  type Rng,
  type StoredEvent,
  type SyncFleet,
  type SyncLink,
  type SyncStrategy,
  type TensorChunk,
  type Verdict,
} from '@longtail/core';
import { createLeaseBook } from '@longtail/data';
import { learningRateAt } from '@longtail/kernels';
import { createServer, explicitLayout, type Server, type Succession } from '@longtail/runtime';
import type { Hello } from '@longtail/protocol';
import { createSchedule } from '@longtail/schedule';
import { balancedShares, chooseSync, createStrategy } from '@longtail/sync';
import type { Actor } from './actor.js';
import { referenceArithmetic, type Arithmetic } from './arithmetic.js';
import { crc32c } from './checksum.js';
import { FaultStriker, type StruckWorld } from './fault-striker.js';
import type { Fault, TimedFault } from './faults.js';
import { FleetBook } from './fleet-account.js';
import { FrameFuzz } from './frame-fuzz.js';
import { Ledger } from './ledger.js';
import { Life } from './life.js';
import { Meddler } from './meddler.js';
import { MemoryStore } from './memory-store.js';
import { ProcessClock } from './process-clock.js';
import type { Outcome, Scenario } from './scenario.js';
import type { Answer } from './server-end.js';
import { HOME, nobodyAnswers, SimulatedFleet, type Admitted, type FleetHost } from './simulated-fleet.js';
import { SimulatedStandby } from './simulated-standby.js';
import { VirtualClock } from './virtual-clock.js';
import { HEADER_BYTES, VirtualNetwork, type LinkSpec, type VirtualLink } from './virtual-network.js';

const SERVER_BITS_PER_SECOND = 1e9;
/** Its address. */
const STANDBY = 'standby:1';
/** Of a live system's chunks. */
const CHUNK_VALUES = 262_144;
const DAY_MS = 86_400_000;
/** Given so that no DOMException with a stack is made for every worker. */
const OVER = new Error('the simulation is over');

/** Runs one job on a fleet in virtual time: the runtime of the live system on a virtual clock, network and devices. */
export async function simulate(scenario: Scenario): Promise<Outcome> {
  return new Simulation(scenario).run();
}

class Simulation implements StruckWorld, FleetHost {
  readonly clock = new VirtualClock();
  readonly serverClock = new ProcessClock(this.clock);
  readonly codecs: readonly Codec[];
  readonly network: VirtualNetwork;
  life: Life;
  server: Server;
  private lives = 0;
  serverStandsUntilMs = 0;
  readonly processes: Promise<void>[] = [];
  private readonly fleet: SimulatedFleet;
  private readonly fired = new Set<Fault>();
  readonly rng: Rng;
  private readonly fuzz: FrameFuzz | undefined;
  readonly meddler: Meddler;
  private shard: ParameterShard | undefined;
  private leases: LeaseBook | undefined;
  private readonly stores: MemoryStore[] = [];
  /** Of the first run. */
  private readonly earlierStores: MemoryStore[] = [];
  private readonly verdicts = new Map<string, (verdict: Verdict) => void>();
  private readonly ledger = new Ledger();
  private links = 0;
  readonly book: FleetBook | undefined;
  standby: SimulatedStandby | undefined;
  /** Where the server is; undefined: where it was at first. */
  private serverAt: string | undefined;
  private readonly lostCommits: Outcome['lostCommits'][number][] = [];

  constructor(private readonly scenario: Scenario) {
    const { seed, faults = [], serverBitsPerSecond = SERVER_BITS_PER_SECOND } = scenario;
    const { clock } = this;
    this.rng = createRng(seed);
    const fuzzing = faults.find((fault) => fault.kind === 'fuzz');
    this.fuzz = fuzzing && new FrameFuzz(this.rng.fork('fuzz'), fuzzing.each, crc32c);
    this.meddler = new Meddler(faults, this.fired, this.fuzz, crc32c);
    this.book = scenario.account ? new FleetBook(scenario.fleet.map(({ name }) => name), () => clock.nowMs()) : undefined;
    this.codecs = this.arithmetic.codecs;
    this.network = new VirtualNetwork({
      clock,
      serverUpBitsPerSecond: serverBitsPerSecond,
      serverDownBitsPerSecond: serverBitsPerSecond,
      rng: this.rng.fork('network'),
      wireBytes: scenario.standsFor && ((chunk) => this.wireBytes(chunk)),
      peerLink: scenario.peerLink,
      serverMs: scenario.serverMs,
      crc32c: scenario.checksums === false ? undefined : crc32c,
    });
    this.fleet = new SimulatedFleet(scenario, this);
    this.life = new Life(this.serverClock);
    this.server = this.startServer();
  }

  get actors(): ReadonlyMap<string, Actor> {
    return this.fleet.actors;
  }

  private startServer(epoch = 1): Server {
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
        strategy: ({ sync }) => this.watched(scenario.strategy ?? createStrategy(sync)),
        chooseSync: (job, fleet, standing) => chooseSync(job, this.told(fleet), standing),
        shares: scenario.shares ?? balancedShares(),
        layout: this.layoutIn(life),
        linkKey: () => `link-${++this.links}`,
        schedule: createSchedule,
        learningRate: learningRateAt,
      },
      { chunkLength, heartbeatMs, probeBytes, epoch },
    );
  }

  private layoutIn({ clock }: Life): AskLayout | undefined {
    const { planMs, layout = explicitLayout } = this.scenario;
    if (planMs === undefined) return layout;
    return async (request, signal) => {
      const made = await layout(request, signal);
      await clock.sleep(planMs, signal);
      return made;
    };
  }

  async run(): Promise<Outcome> {
    const { scenario, clock } = this;
    for (const spec of scenario.fleet) this.processes.push(this.fleet.start(spec, spec.joinAtMs ?? 0));
    const striker = new FaultStriker(this, this.fired);
    for (const fault of scenario.faults ?? []) if ('atMs' in fault) clock.at(fault.atMs, () => striker.fire(fault));
    for (const sequence of scenario.churn ?? []) this.strikeInTurn(striker, sequence[Symbol.iterator]());
    if (scenario.standby !== undefined) this.processes.push(this.standBy(scenario.standby));
    const jobs = [scenario.job, ...(scenario.queued ?? [])];
    const launched = Promise.all(jobs.map((job) => this.server.launch(job, scenario.files ?? [])));
    const ended = launched.then((runs) => Promise.all(runs.map(({ run }) => this.verdict(run)))).then(([first]) => first!);
    const verdict = await clock.runUntil(ended, scenario.limitMs ?? DAY_MS).catch((error: unknown) => {
      const { code, message } = LongtailError.from(error);
      const last = scenario.keeps === undefined ? this.store?.events.slice(-8) : undefined;
      const told = last?.map(({ timeMs, body }) => `${timeMs.toFixed(1)} ${JSON.stringify(body)}`) ?? [];
      throw new LongtailError([message, ...told].join('\n'), { code, cause: error });
    });
    const virtualMs = clock.nowMs();
    for (const { stop } of this.actors.values()) stop.abort(OVER);
    this.standby?.stop();
    await clock.runUntil(Promise.all([this.server.close('the simulation is over'), ...this.processes]));
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
      earlierStores: this.earlierStores,
      lostCommits: this.lostCommits,
      fired: this.fired,
      fuzzed: this.fuzz?.count ?? { mutated: 0, wellFormed: 0 },
      workerEvents: this.fleet.events,
      workerFiles: new Map([...this.actors].map(([name, { files }]) => [name, files.received])),
      workerEnds: this.fleet.ends,
      virtualMs,
      account: this.book?.account(),
    };
  }

  private strikeInTurn(striker: FaultStriker, faults: Iterator<TimedFault>): void {
    const { done, value } = faults.next();
    if (done) return;
    this.clock.at(value.atMs, () => {
      striker.fire(value);
      this.strikeInTurn(striker, faults);
    });
  }

  get noticeMs(): number {
    return this.scenario.noticeMs ?? 0;
  }

  get store(): MemoryStore | undefined {
    return this.stores[0];
  }

  private openRun(job: Job): MemoryStore {
    return this.openStore(this.stores.length, job);
  }

  private openStore(index: number, job: Job, before?: MemoryStore): MemoryStore {
    const { life, scenario } = this;
    const appended = (event: StoredEvent) => {
      if (life.isOver) throw new Error(`a server that was killed logs ${event.body.event}`);
      if (index === 0) this.tell(event);
      return index !== 0 || (scenario.keeps?.(event, () => this.book?.bytesMoved ?? 0) ?? true);
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

  killServer(): void {
    this.life.end();
    for (const { link } of this.actors.values()) link?.cut('the server was killed');
    this.standby?.cut('the server was killed');
  }

  private async standBy({ link = HOME, joinAtMs = 0 }: NonNullable<Scenario['standby']>): Promise<void> {
    const { clock, life } = this;
    await clock.sleep(joinAtMs, new AbortController().signal);
    if (life.isOver || this.store?.verdict !== undefined) return;
    const standby = (this.standby = new SimulatedStandby({
      clock,
      rng: this.rng.fork('standby'),
      codecs: this.codecs,
      address: STANDBY,
      createShard: (layout, optimizer) => this.arithmetic.createShard(layout.length, optimizer),
      dial: (hello, cut) => this.dialForStandby(link, hello, cut),
      logOf: (run) => this.stores.find((store) => store.run === run)!.events,
    }));
    const succession = await standby.follow();
    if (succession !== undefined) this.takeOver(standby, succession);
  }

  private async dialForStandby(link: LinkSpec, hello: Hello, opened: (link: VirtualLink) => void) {
    const { life } = this;
    await this.clock.sleep(link.rttMs, new AbortController().signal);
    if (life.isOver) throw nobodyAnswers();
    const way = this.network.connect('standby', link);
    opened(way);
    return this.admit(way, hello);
  }

  /** The standby is the server from here on. */
  private takeOver(standby: SimulatedStandby, { runs, ...succession }: Succession): void {
    // It finds that it was succeeded, and ends.
    if (!this.life.isOver) this.killServer();
    this.serverAt = STANDBY;
    this.life = new Life(this.serverClock);
    this.server = this.startServer(succession.epoch);
    if (this.store?.verdict === undefined) this.shard = this.leases = undefined;
    for (const { run, snapshot } of runs) {
      const index = this.stores.findIndex((store) => store.run === run);
      const before = this.stores[index]!;
      const events = standby.eventsOf(run);
      this.noteLost(before.events, events);
      if (index === 0) {
        this.ledger.succeeded(events.length);
        this.earlierStores.push(before);
      }
      const held = new MemoryStore(run, before.job, before.options);
      held.events.push(...events);
      const store = this.openStore(index, before.job, held);
      for (const event of events.slice(before.events.length)) if (index === 0) this.tell(event, () => snapshot!.parameters);
      this.server.resume({ store, job: store.job, files: this.scenario.files ?? [], snapshot, past: [...store.events], reason: succession.reason, succession: { ...succession, address: STANDBY } });
      this.hear(run);
    }
  }

  private noteLost(before: readonly StoredEvent[], after: readonly StoredEvent[]): void {
    const states = before.flatMap(({ body }) => (body.event === 'standby' ? [body.state] : []));
    if (states.at(-1) !== 'in step') return;
    for (const { seq, body } of before) if (body.event === 'commit' && after[seq - 1]?.body !== body) this.lostCommits.push(body);
  }

  /** Another process over the same folders. */
  restartServer(): void {
    const { scenario } = this;
    this.life = new Life(this.serverClock);
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

  /** Another process on the same machine. */
  restartWorker(name: string, afterMs: number): void {
    this.processes.push(this.fleet.start(this.scenario.fleet.find((spec) => spec.name === name)!, afterMs));
  }

  private watched(strategy: SyncStrategy): SyncStrategy {
    return this.scenario.watch?.(strategy) ?? strategy;
  }

  private tell({ timeMs, body }: StoredEvent, parameters = () => this.parameters()): void {
    if (body.event === 'commit') this.scenario.committed?.(body, timeMs, parameters);
    if (body.event === 'contribution') this.book?.contribution(body.name, body.accepted ? body.samples : 0);
  }

  /** Of chunks as long as they would be of as many values. */
  private wireBytes({ header, payload }: TensorChunk): number {
    const values = this.scenario.standsFor!(header);
    const codec = this.codecs.find(({ id }) => id === header.codec)!;
    if (header.kind === 'file' || header.kind === 'probe') return HEADER_BYTES + payload.length;
    return codec.maxBytes(values) + HEADER_BYTES * Math.ceil(values / CHUNK_VALUES);
  }

  /** With parameters as many as they stand for. */
  private told({ groups }: SyncFleet): SyncFleet {
    const { standsFor, linksKnown, serverBitsPerSecond: rate = SERVER_BITS_PER_SECOND, fleet } = this.scenario;
    const grown = (link: SyncLink): SyncLink => ({ ...link, values: standsFor?.({ kind: 'gradient', length: link.values }) ?? link.values });
    if (linksKnown !== true) return { groups: groups.map((group) => ({ ...group, links: group.links.map(grown) })) };
    const links = new Map(fleet.map(({ name, link }) => [name, link]));
    const described = ({ name, values }: SyncLink): SyncLink => {
      const { upBitsPerSecond, downBitsPerSecond, rttMs } = links.get(name) ?? HOME;
      return grown({ name, values, upBitsPerSecond, downBitsPerSecond, roundTripMs: rttMs });
    };
    return { groups: groups.map((group) => ({ ...group, links: group.links.map(described) })), server: { upBitsPerSecond: rate, downBitsPerSecond: rate } };
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
    this.leases = this.scenario.keeps === undefined ? this.ledger.record(leases, this.store!.events) : leases;
    return this.leases;
  }

  get arithmetic(): Arithmetic {
    return this.scenario.arithmetic ?? referenceArithmetic;
  }

  /** Of a node that dials it there. Throws LongtailError `unreachable` where no server is. */
  checkThere(address: string | undefined, node: string): void {
    if (address === STANDBY && this.serverAt === undefined) this.standby?.witness(node);
    if (this.life.isOver || this.clock.nowMs() < this.serverStandsUntilMs || address !== this.serverAt) throw nobodyAnswers();
  }

  /** The welcome is the transport's to read: it is taken out of the stream before the worker gets the rest. */
  admit(link: VirtualLink, hello: Hello, welcomed: (node: string) => void = () => undefined): Promise<Admitted> {
    const { life, server: current } = this;
    return new Promise((resolve, reject) => {
      const { server } = link;
      server.belongTo(life);
      const answered = (answer: Answer): void => {
        if (answer.message === 'refused') return reject(LongtailError.fromWire(answer.refused));
        welcomed(answer.welcome.node);
        resolve({ connection: link.worker, welcome: answer.welcome });
      };
      server.admit(answered);
      current.onSession(server, hello);
    });
  }
}
