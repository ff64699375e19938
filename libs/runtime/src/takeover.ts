import { apart, type Fleet } from './fence.js';

export interface TakeoverState {
  /** When the standby lost its link to the server, and when it last heard of it. */
  readonly lostAtMs: number;
  /** Nodes that the server had when it was last heard. */
  readonly fleet: Fleet;
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

/** After this long half of the nodes are enough, and where nobody worked for it the link is. */
const PATIENCE_MS = 2500;

/**
 * Is the server dead, or only out of the standby's reach? Those who work for it know: more than half of them are believed at once, half
 * after a while; nodes on the server's machine do not count while none of them comes, as it may have taken them along. Where nobody
 * worked for it the link is all there is to go by. While fewer come it goes on without its standby; unless it is started again, which
 * says that it was dead. A pure function; `isFenced` is the server's part of the rule, and the two are never true together, but where
 * there are no nodes.
 */
export function decideTakeover({ lostAtMs, fleet, witnesses, restarted }: TakeoverState, nowMs: number): TakeoverDecision {
  if (restarted) return { takeOver: true, wakeAtMs: undefined, reason: 'it was started again, without what is here' };
  const others = apart(fleet);
  const asked = fleet.nodes.some((node) => fleet.beside.has(node) && witnesses.has(node)) ? fleet.nodes : others;
  const came = asked.filter((node) => witnesses.has(node)).length;
  const said = fleet.nodes.length === 0 ? 'nobody worked for it' : `${came} of its ${asked.length} nodes do not reach it either`;
  if (2 * came > asked.length) return { takeOver: true, wakeAtMs: undefined, reason: said };
  const overAtMs = lostAtMs + PATIENCE_MS;
  const enough = fleet.nodes.length === 0 || (asked.length > 0 && 2 * came === asked.length);
  if (enough && nowMs >= overAtMs) return { takeOver: true, wakeAtMs: undefined, reason: said };
  return { takeOver: false, wakeAtMs: nowMs < overAtMs ? overAtMs : undefined, reason: fleet.nodes.length === 0 ? 'it may come back' : said };
}
