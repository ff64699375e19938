import type { RunEvent } from '@longtail/core';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

export type PathKind = 'compute' | 'send' | 'receive';
const KINDS: readonly PathKind[] = ['compute', 'send', 'receive'];

interface Own extends Record<PathKind, number> {
  /** That it was the last one of. */
  rounds: number;
  /** Of the link, each way. */
  readonly bytes: { send: number; receive: number };
  readonly busyMs: { send: number; receive: number };
}

/** What contributions computed, whether a round ended with them or not. */
interface Computed {
  count: number;
  ms: number;
  samples: number;
}

/** Of its compute, what a straggler takes at least more than the others do. */
const SLOWER = 0.05;
/** Rounds of which others may still deliver. */
const OPEN_ROUNDS = 64;

interface OpenRound {
  last: Contribution;
  contributions: number;
  /** Of when they were done. */
  sumMs: number;
}

/** What the contributions that rounds end with spent their time on: of each round, the one that was done last. */
export class CriticalPath {
  private readonly open = new Map<number, OpenRound>();
  private readonly ms = new Map<string, Own>();
  private readonly computed = new Map<string, Computed>();
  /** Of all rounds, and of those the time from when contributions are done on average to the last one. */
  private roundMs = 0;
  private waitedMs = 0;
  private rounds = 0;
  private contributions = 0;

  add(contribution: Contribution): void {
    const { round, name, samples, computeMs, doneAtMs, exchange } = contribution;
    if (exchange === undefined) return;
    const { count, ms, samples: before } = this.computed.get(name) ?? { count: 0, ms: 0, samples: 0 };
    this.computed.set(name, { count: count + 1, ms: ms + computeMs, samples: before + samples });
    const open = this.open.get(round);
    if (open === undefined) this.open.set(round, { last: contribution, contributions: 1, sumMs: doneAtMs });
    else {
      open.contributions++;
      open.sumMs += doneAtMs;
      if (doneAtMs > open.last.doneAtMs) open.last = contribution;
    }
    for (const [first] of this.open) {
      if (this.open.size <= OPEN_ROUNDS) return;
      this.close(first);
    }
  }

  /**
   * Computing, where at least half of the path is, else the way that takes longer; whose it is most, and which part of the path the kind is;
   * of a link, the rate that this node got, Infinity of computing, and how long a round's transfer took it; `waited`: which part of a round a contribution
   * waits for the last one; `contributions`: of a round; `last`: of which part of the rounds it was the last one; `straggles`: it is slower than the
   * others and computes longer than they do, all rounds together: who is fast, or late by chance, does not. Undefined where nobody exchanged anything.
   */
  mainPart(): { readonly part: number; readonly name: string; readonly kind: PathKind; readonly bitsPerSecond: number; readonly transferMs: number; readonly waited: number; readonly contributions: number; readonly last: number; readonly straggles: boolean } | undefined {
    for (const round of [...this.open.keys()]) this.close(round);
    const of = (kind: PathKind) => [...this.ms.values()].reduce((sum, own) => sum + own[kind], 0);
    const all = KINDS.reduce((sum, kind) => sum + of(kind), 0);
    if (all === 0) return undefined;
    const kind = 2 * of('compute') >= all ? 'compute' : of('receive') > of('send') ? 'receive' : 'send';
    const [name, { rounds, bytes, busyMs }] = [...this.ms].reduce((most, one) => (one[1][kind] > most[1][kind] ? one : most));
    const rates = kind === 'compute' ? { bitsPerSecond: Infinity, transferMs: 0 } : { bitsPerSecond: (8000 * bytes[kind]) / busyMs[kind], transferMs: busyMs[kind] / rounds };
    return { part: of(kind) / all, name, kind, waited: this.waitedMs / this.roundMs, contributions: this.contributions / this.rounds, last: rounds / this.rounds, straggles: this.straggles(name), ...rates };
  }

  private straggles(name: string): boolean {
    const own = this.computed.get(name)!;
    const all = [...this.computed.values()].reduce((sum, { count, ms, samples }) => ({ count: sum.count + count, ms: sum.ms + ms, samples: sum.samples + samples }));
    return own.ms / own.count > ((1 + SLOWER) * all.ms) / all.count && own.ms * all.samples > all.ms * own.samples;
  }

  private close(round: number): void {
    const { last, contributions, sumMs } = this.open.get(round)!;
    const { name, computeMs, exchange, bytesUp, bytesDown, sentAtMs, doneAtMs } = last;
    const { sendMs, receiveMs, hiddenMs = 0 } = exchange!;
    this.open.delete(round);
    this.rounds++;
    this.contributions += contributions;
    this.roundMs += doneAtMs - sentAtMs;
    this.waitedMs += doneAtMs - sumMs / contributions;
    const own = this.ms.get(name) ?? { rounds: 0, compute: 0, send: 0, receive: 0, bytes: { send: 0, receive: 0 }, busyMs: { send: 0, receive: 0 } };
    own.rounds++;
    own.compute += computeMs;
    own.send += sendMs - hiddenMs;
    own.receive += receiveMs;
    own.bytes.send += bytesUp;
    own.bytes.receive += bytesDown;
    own.busyMs.send += sendMs;
    own.busyMs.receive += receiveMs;
    this.ms.set(name, own);
  }
}
