/** A node that is to rest may take this long to finish what it holds. */
export const FINISH_MS = 3000;

/** Whether a node may work, by its owner's will. */
export interface Owner {
  /** Why it may not; empty: it may. */
  readonly paused: string;
  /** Tells of every change of `paused` until what it returns is called. */
  watch(changed: () => void): () => void;
}

/** Reasons for a node to rest, by whoever gives them: the first that there is counts. */
export class Pauses implements Owner {
  private readonly reasons = new Map<string, string>();
  private readonly watchers = new Set<() => void>();

  get paused(): string {
    return this.reasons.values().next().value ?? '';
  }

  /** An empty reason takes back what was given under that name. */
  set(by: string, reason: string): void {
    const before = this.paused;
    if (reason === '') this.reasons.delete(by);
    else this.reasons.set(by, reason);
    if (this.paused !== before) for (const changed of this.watchers) changed();
  }

  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => void this.watchers.delete(changed);
  }
}
