import type { MeasuredPeerLink } from '@longtail/core';

/** What is known of the direct links between nodes that are here; kept over runs. */
export class PeerLinks {
  private readonly byPair = new Map<string, MeasuredPeerLink | 'none'>();

  get measured(): readonly MeasuredPeerLink[] {
    return [...this.byPair.values()].filter((link) => link !== 'none');
  }

  /** Measured, or found not to be there. */
  knows(a: string, b: string): boolean {
    return this.byPair.has(keyOf(a, b));
  }

  put(a: string, b: string, link: Omit<MeasuredPeerLink, 'between'> | undefined): void {
    this.byPair.set(keyOf(a, b), link === undefined ? 'none' : { between: [a, b], ...link });
  }

  forget(node: string): void {
    for (const key of this.byPair.keys()) if (key.split(' ').includes(node)) this.byPair.delete(key);
  }
}

function keyOf(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
