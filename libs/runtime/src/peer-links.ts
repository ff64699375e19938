import type { MeasuredPeerLink } from '@longtail/core';
import { RATE_DRIFT } from '@longtail/core';

/** A link as it was told, and what each of its ends finds while it trains. */
interface Known {
  link: MeasuredPeerLink;
  readonly sending: Map<string, number>;
}

/** What is known of the direct links between nodes that are here; kept over runs. */
export class PeerLinks {
  private readonly byPair = new Map<string, Known | 'none'>();

  get measured(): readonly MeasuredPeerLink[] {
    return [...this.byPair.values()].flatMap((known) => (known === 'none' ? [] : [known.link]));
  }

  /** Measured, or found not to be there. */
  knows(a: string, b: string): boolean {
    return this.byPair.has(keyOf(a, b));
  }

  put(a: string, b: string, link: Omit<MeasuredPeerLink, 'between'> | undefined): void {
    this.byPair.set(keyOf(a, b), link === undefined ? 'none' : { link: { between: [a, b], ...link }, sending: new Map() });
  }

  /** What tensors made of the way from one end to the other: gives the link where that is not what it was told as, once both ends were heard. */
  used(from: string, to: string, bitsPerSecond: number): MeasuredPeerLink | undefined {
    const known = this.byPair.get(keyOf(from, to));
    if (known === undefined || known === 'none') return undefined;
    known.sending.set(from, bitsPerSecond);
    const slower = Math.min(...known.sending.values());
    const change = slower / known.link.bitsPerSecond - 1;
    if (change < -RATE_DRIFT || (known.sending.size === 2 && change > RATE_DRIFT)) return (known.link = { ...known.link, bitsPerSecond: slower });
    return undefined;
  }

  forget(node: string): void {
    for (const key of this.byPair.keys()) if (key.split(' ').includes(node)) this.byPair.delete(key);
  }
}

function keyOf(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
