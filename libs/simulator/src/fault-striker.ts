import { LongtailError } from '@longtail/core';
import type { Server } from '@longtail/runtime';
import type { Actor } from './actor.js';
import type { Fault, TimedFault } from './faults.js';
import type { Life } from './life.js';
import type { MemoryStore } from './memory-store.js';
import type { ProcessClock } from './process-clock.js';
import type { SimulatedStandby } from './simulated-standby.js';
import type { VirtualClock } from './virtual-clock.js';
import type { VirtualNetwork } from './virtual-network.js';

/** By then somebody has started a dead server again. */
const LONG_DEAD_MS = 120_000;

/** Of a device: it comes to nothing within a day. */
const STANDSTILL = 1e12;

/** What faults strike: the processes of a simulation, as they are at the time. */
export interface StruckWorld {
  readonly clock: VirtualClock;
  readonly network: VirtualNetwork;
  readonly actors: ReadonlyMap<string, Actor>;
  readonly server: Server;
  readonly serverClock: ProcessClock;
  readonly life: Life;
  readonly standby: SimulatedStandby | undefined;
  /** Of the first run. */
  readonly store: MemoryStore | undefined;
  /** Until the server notices that a process is gone. */
  readonly noticeMs: number;
  /** No dial gets through before. */
  serverStandsUntilMs: number;
  killServer(): void;
  restartServer(): void;
  /** Another process on the same machine. */
  restartWorker(name: string, afterMs: number): void;
}

/** Lets faults happen, and notes which did something. */
export class FaultStriker {
  constructor(
    private readonly world: StruckWorld,
    private readonly fired: Set<Fault>,
  ) {}

  fire(fault: TimedFault): void {
    if (!('worker' in fault)) {
      if (!this.world.life.isOver || isOrder(fault)) this.strikeServer(fault);
      return;
    }
    const actor = this.world.actors.get(fault.worker);
    if (actor === undefined) throw new Error(`no worker ${fault.worker}`);
    switch (fault.kind) {
      // These fire with the next chunk or message.
      case 'poison':
        actor.poisoned = fault;
        return;
      case 'message':
        actor.message = fault;
        return;
      case 'tamper-down':
        actor.tamperDown = fault;
        return;
      default:
        this.fired.add(fault);
        this.strikeActor(actor, fault);
    }
  }

  private strikeServer(fault: Exclude<TimedFault, { worker: string }>): void {
    const { world } = this;
    this.fired.add(fault);
    switch (fault.kind) {
      case 'kill-server':
        world.killServer();
        // Who has a standby leaves the rest to it, and the last word where nobody comes to it.
        if (world.standby?.ready) world.clock.at(world.clock.nowMs() + LONG_DEAD_MS, () => world.standby!.restarted());
        else world.clock.at(world.clock.nowMs() + fault.forMs, () => world.restartServer());
        return;
      case 'standby':
        if (fault.how === 'cut') world.standby?.cut('the link was cut');
        else if (fault.how === 'corrupt') world.standby?.corrupt();
        else if (fault.how === 'order') world.standby?.order();
        else world.standby?.stall(fault.forMs);
        return;
      case 'freeze-server':
        world.serverClock.freeze(fault.forMs);
        world.serverStandsUntilMs = world.clock.nowMs() + fault.forMs;
        for (const { link } of world.actors.values()) link?.stall(fault.forMs);
        world.standby?.stall(fault.forMs);
        return;
      case 'cancel':
        void world.server.cancel(world.store!.run, 'the user said so');
        return;
      case 'disk-full':
        world.store!.full.add(fault.what);
        return;
      case 'server-clock-jump':
        world.serverClock.jump(fault.byMs);
    }
  }

  private strikeActor(actor: Actor, fault: Extract<TimedFault, { worker: string }>): void {
    const { clock, network } = this.world;
    switch (fault.kind) {
      case 'cut':
        return actor.link?.cut('the link was cut');
      case 'cut-peers':
        return network.cutPeers(fault.worker, 'the links were cut');
      case 'stall':
        return actor.link?.stall(fault.forMs);
      case 'partition':
        actor.unreachableUntilMs = Math.max(actor.unreachableUntilMs, clock.nowMs() + fault.forMs);
        return actor.link?.stall(fault.forMs);
      case 'freeze':
        actor.clock.freeze(fault.forMs);
        actor.link?.stall(fault.forMs);
        return this.slow(actor, STANDSTILL, fault.forMs);
      case 'clock-jump':
        return actor.clock.jump(fault.byMs);
      case 'kill':
        return this.kill(actor, fault.worker);
      case 'restart':
        this.kill(actor, fault.worker);
        return this.world.restartWorker(fault.worker, fault.forMs);
      case 'leave':
        return actor.stop.abort();
      case 'finish':
        return actor.finish?.abort();
      case 'pause':
        actor.pauses.set(`the owner at ${fault.atMs}`, 'its owner wants the machine');
        clock.at(clock.nowMs() + fault.forMs, () => actor.pauses.set(`the owner at ${fault.atMs}`, ''));
        return;
      case 'drain':
        return this.drain(fault.worker);
      case 'slow':
        return this.slow(actor, fault.factor, fault.forMs);
      case 'fail':
        actor.compute.failure = new LongtailError('the device gave up', { code: 'engine' });
    }
  }

  /** Of one that is here. */
  private drain(name: string): void {
    const { life, server } = this.world;
    const here = !life.isOver && server.nodes().some((node) => node.name === name);
    if (here) server.order(name, 'DRAIN', 'a client drains it');
  }

  private kill(actor: Actor, name: string): void {
    actor.dead = true;
    const { network, noticeMs } = this.world;
    network.cutPeers(name, 'the process was killed');
    actor.link?.cut('the process was killed', noticeMs);
  }

  private slow({ compute }: Actor, factor: number, forMs: number): void {
    const { clock } = this.world;
    compute.slowdown *= factor;
    clock.at(clock.nowMs() + forMs, () => {
      compute.slowdown /= factor;
    });
  }
}

/** To a standby, whether its server lives or not. */
function isOrder(fault: TimedFault): boolean {
  return fault.kind === 'standby' && fault.how === 'order';
}
