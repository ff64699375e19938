import type { RunEvent } from '@longtail/core';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

export type PathKind = 'compute' | 'send' | 'receive';
const KINDS: readonly PathKind[] = ['compute', 'send', 'receive'];

/** Rounds of which others may still deliver. */
const OPEN_ROUNDS = 64;

/** What the contributions that rounds end with spent their time on: of each round, the one that was done last. */
export class CriticalPath {
  private readonly open = new Map<number, Contribution>();
  private readonly ms = new Map<string, Record<PathKind, number>>();

  add(contribution: Contribution): void {
    const { round, doneAtMs, exchange } = contribution;
    if (exchange === undefined) return;
    if (doneAtMs > (this.open.get(round)?.doneAtMs ?? -Infinity)) this.open.set(round, contribution);
    for (const [first] of this.open) {
      if (this.open.size <= OPEN_ROUNDS) return;
      this.close(first);
    }
  }

  /** The kind that most of the path is, whose it is most, and which part of the path the kind is; undefined where nobody contributed. */
  mainPart(): { readonly part: number; readonly name: string; readonly kind: PathKind } | undefined {
    for (const round of [...this.open.keys()]) this.close(round);
    const of = (kind: PathKind) => [...this.ms.values()].reduce((sum, own) => sum + own[kind], 0);
    const all = KINDS.reduce((sum, kind) => sum + of(kind), 0);
    if (all === 0) return undefined;
    const kind = KINDS.reduce((most, one) => (of(one) > of(most) ? one : most));
    const [name] = [...this.ms].reduce((most, one) => (one[1][kind] > most[1][kind] ? one : most));
    return { part: of(kind) / all, name, kind };
  }

  private close(round: number): void {
    const { name, computeMs, exchange } = this.open.get(round)!;
    this.open.delete(round);
    const own = this.ms.get(name) ?? { compute: 0, send: 0, receive: 0 };
    own.compute += computeMs;
    own.send += exchange!.sendMs - (exchange!.hiddenMs ?? 0);
    own.receive += exchange!.receiveMs;
    this.ms.set(name, own);
  }
}
