/** Nodes that a standby knows of. */
export interface Fleet {
  readonly nodes: readonly string[];
  /** Those on the server's own machine, which share its fate. */
  readonly beside: ReadonlySet<string>;
}

export const NOBODY: Fleet = { nodes: [], beside: new Set() };

/** Those that do not share the server's fate. */
export function apart({ nodes, beside }: Fleet): readonly string[] {
  return nodes.filter((node) => !beside.has(node));
}

/**
 * Whether a server whose standby is gone may commit by itself: more than half of the nodes that the standby knows of have heard since that
 * there is none, and so will never witness to it; of all nodes, and of those apart. `decideTakeover` takes at least half of either.
 * A pure function; see docs/adr/0042.
 */
export function isFenced(fleet: Fleet, unaware: ReadonlySet<string>): boolean {
  return [fleet.nodes, apart(fleet)].every((nodes) => nodes.length === 0 || 2 * nodes.filter((node) => unaware.has(node)).length > nodes.length);
}
