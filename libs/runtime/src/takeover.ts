export interface TakeoverState {
  /** When the standby lost its link to the server, and when it last heard of it. */
  readonly lostAtMs: number;
  /** Nodes that the server had when it was last heard. */
  readonly fleet: readonly string[];
  /** Those of them that have come since, as they do not reach the server either. */
  readonly witnesses: ReadonlySet<string>;
  /** The server was started again since, and found that its standby holds more. */
  readonly restarted: boolean;
}

export interface TakeoverDecision {
  readonly takeOver: boolean;
  /** When to look again; undefined: when somebody comes. */
  readonly wakeAtMs: number | undefined;
  readonly reason: string;
}

/** Nodes that the server's machine took along say nothing: after this long those who come are enough. */
const PATIENCE_MS = 2500;

/**
 * Is the server dead, or only out of the standby's reach? Those who work for it know: more than half of them are believed at once, some
 * after a while, and where nobody worked for it the link is all there is to go by. While none of several comes, it goes on without its
 * standby; unless it is started again, which says that it was dead. A pure function; see docs/adr/0035 for the server's part of the rule.
 */
export function decideTakeover({ lostAtMs, fleet, witnesses, restarted }: TakeoverState, nowMs: number): TakeoverDecision {
  if (restarted) return { takeOver: true, wakeAtMs: undefined, reason: 'it was started again, without what is here' };
  const came = fleet.filter((node) => witnesses.has(node)).length;
  const said = `${came} of its ${fleet.length} nodes do not reach it either`;
  const overAtMs = lostAtMs + PATIENCE_MS;
  if (2 * came > fleet.length) return { takeOver: true, wakeAtMs: undefined, reason: said };
  const enough = fleet.length === 0 || came > 0;
  if (enough && nowMs >= overAtMs) return { takeOver: true, wakeAtMs: undefined, reason: fleet.length === 0 ? 'nobody worked for it' : said };
  return { takeOver: false, wakeAtMs: nowMs < overAtMs ? overAtMs : undefined, reason: fleet.length === 0 ? 'it may come back' : said };
}
