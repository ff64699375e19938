import { LongtailError, type ParameterShard, type StoredEvent } from '@longtail/core';
import { Standby, type FollowedStore, type StandbyOptions, type Succession } from '@longtail/runtime';
import { MemoryFiles } from './memory-files.js';
import type { VirtualLink } from './virtual-network.js';

interface SimulatedStandbyOptions extends Pick<StandbyOptions, 'clock' | 'rng' | 'codecs' | 'address' | 'createShard'> {
  dial(hello: Parameters<StandbyOptions['dial']>[0], opened: (link: VirtualLink) => void): ReturnType<StandbyOptions['dial']>;
  /** Of the server that it follows. */
  logOf(run: string): readonly StoredEvent[];
}

/** The standby's process: what it holds is in memory, and its log is compared with the server's as it grows. */
export class SimulatedStandby {
  private readonly standby: Standby;
  private readonly logs = new Map<string, StoredEvent[]>();
  private readonly stopping = new AbortController();
  private link: VirtualLink | undefined;
  private shard: ParameterShard | undefined;
  private ended = false;

  constructor({ dial, logOf, ...options }: SimulatedStandbyOptions) {
    this.standby = new Standby({
      ...options,
      createShard: (layout, optimizer) => (this.shard = options.createShard(layout, optimizer)),
      signal: this.stopping.signal,
      dial: (hello, signal) =>
        dial(hello, (link) => {
          this.link = link;
          signal.addEventListener('abort', () => link.cut('it was given up'), { once: true });
        }),
      fileCache: new MemoryFiles(),
      openStore: async (run) => this.openStore(run, logOf),
      log(event) {
        if (event.event === 'problem') throw event.error;
      },
    });
  }

  /** It will take over. */
  get ready(): boolean {
    return !this.ended && this.standby.ready;
  }

  witness(node: string): void {
    this.standby.witness(node);
  }

  /** The server was started again, and found that this one holds more. */
  restarted(): void {
    this.standby.restarted();
  }

  order(): void {
    this.standby.order(true);
  }

  /** Memory does not always keep what it was given. */
  corrupt(): void {
    const value = new Float32Array(1);
    this.shard!.readParameters(value);
    this.shard!.writeParameters(value.map((before) => before + 1));
  }

  cut(reason: string): void {
    this.link?.cut(reason);
  }

  stall(forMs: number): void {
    this.link?.stall(forMs);
  }

  stop(): void {
    this.stopping.abort(new Error('the simulation is over'));
  }

  /** Undefined: it was not needed. */
  async follow(): Promise<Succession | undefined> {
    try {
      const outcome = await this.standby.follow();
      return outcome.outcome === 'takeover' ? outcome.succession : undefined;
    } catch (error) {
      // It never got to the server, and ends.
      if (this.stopping.signal.aborted || LongtailError.from(error).code === 'unreachable') return undefined;
      throw error;
    } finally {
      this.ended = true;
    }
  }

  eventsOf(run: string): readonly StoredEvent[] {
    return this.logs.get(run)!;
  }

  private openStore(run: string, logOf: SimulatedStandbyOptions['logOf']): FollowedStore {
    const events: StoredEvent[] = [];
    this.logs.set(run, events);
    return {
      get lastSeq() {
        return events.length;
      },
      append(event) {
        const original = logOf(run)[event.seq - 1];
        if (original !== undefined && JSON.stringify(original.body) !== JSON.stringify(event.body)) {
          throw new Error(`event ${event.seq} of the standby is not the server's`);
        }
        // What is looked up by event finds it in either log.
        events.push(original ?? event);
      },
      finish: async () => undefined,
    };
  }
}
