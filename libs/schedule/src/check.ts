import type { Action } from '@longtail/core';
import type { ActionLists } from './lists.js';
import { describe } from './simulate.js';
import { peakStash } from './stash.js';
import { transfersOf, type Transfer } from './transfers.js';

export type ScheduleCheck =
  | {
      readonly ok: true;
      /**
       * Messages that an edge from one stage to the next, in either direction, must hold before the receiving worker takes
       * them: where a sender waits for room, workers with less would wait for each other for ever.
       */
      readonly buffers: number;
    }
  | { readonly ok: false; readonly problem: string };

interface Expected {
  readonly stages: number;
  readonly microbatches: number;
  /** By rank; not checked where it is missing. */
  readonly stashCaps?: readonly number[];
}

/**
 * Whether workers that follow these lists come to the end, whatever their actions and messages take: each action once and
 * after what it needs, each message sent once and received once in the order of sending, no deadlock, stashes as declared.
 */
export function checkSchedule(lists: ActionLists, expected: Expected): ScheduleCheck {
  const { stages, microbatches } = expected;
  const transfers = lists.map((actions) => transfersOf(actions, { workers: lists.length, stages }));
  const problem =
    incomplete(lists, expected) ?? misordered(lists, stages) ?? overstashed(lists, expected.stashCaps) ?? unmatched(transfers);
  if (problem !== undefined) return { ok: false, problem };
  // Room for every message is unlimited room.
  const stuck = exchange(transfers, microbatches);
  if (stuck !== undefined) return { ok: false, problem: stuck };
  let buffers = 0;
  while (exchange(transfers, buffers) !== undefined) buffers++;
  return { ok: true, buffers };
}

const nameOf = ({ op, stage, microbatch }: Action) => `${op}/${stage}/${microbatch}`;

function incomplete(lists: ActionLists, { stages, microbatches }: Expected): string | undefined {
  const seen = new Set<string>();
  for (const [rank, list] of lists.entries()) {
    for (const action of list) {
      const { stage, microbatch } = action;
      const exists = stage >= 0 && stage < stages && microbatch >= 0 && microbatch < microbatches;
      if (!exists) return `${describe(action)} does not exist`;
      if (stage % lists.length !== rank) return `${describe(action)} is not worker ${rank}'s`;
      if (seen.has(nameOf(action))) return `${describe(action)} comes twice`;
      seen.add(nameOf(action));
    }
  }
  for (let stage = 0; stage < stages; stage++) {
    for (let microbatch = 0; microbatch < microbatches; microbatch++) {
      const has = (op: Action['op']) => seen.has(nameOf({ op, stage, microbatch }));
      const whole = has('B') && !has('I') && !has('W');
      const split = has('I') && has('W') && !has('B');
      if (!has('F') || !(whole || split)) return `stage ${stage}, microbatch ${microbatch} wants F and either B or I and W`;
    }
  }
  return undefined;
}

/** What an action needs of its own worker must stand before it in the list. */
function misordered(lists: ActionLists, stages: number): string | undefined {
  for (const list of lists) {
    const done = new Set<string>();
    const did = (op: Action['op'], stage: number, microbatch: number) => done.has(nameOf({ op, stage, microbatch }));
    const ready = ({ op, stage, microbatch }: Action) => {
      if (op === 'W') return did('I', stage, microbatch);
      const alone = lists.length === 1;
      if (op === 'F') return !alone || stage === 0 || did('F', stage - 1, microbatch);
      const above = !alone || stage === stages - 1 || did('B', stage + 1, microbatch) || did('I', stage + 1, microbatch);
      return did('F', stage, microbatch) && above;
    };
    for (const action of list) {
      if (!ready(action)) return `${describe(action)} comes before what it needs`;
      done.add(nameOf(action));
    }
  }
  return undefined;
}

function overstashed(lists: ActionLists, caps: readonly number[] = []): string | undefined {
  const rank = lists.findIndex((list, index) => peakStash(list) > (caps[index] ?? Infinity));
  return rank < 0 ? undefined : `worker ${rank} holds ${peakStash(lists[rank]!)} stashes, declared are ${caps[rank]}`;
}

const edgeOf = ({ fromStage, toStage }: Transfer) => `${fromStage} to ${toStage}`;

/** Each edge has one sender and one receiver, so that equal sequences are a one-to-one match in order. */
function unmatched(transfers: readonly (readonly Transfer[])[]): string | undefined {
  const sequence = (kind: Transfer['kind']) => {
    const edges = new Map<string, number[]>();
    for (const transfer of transfers.flat().filter((candidate) => candidate.kind === kind)) {
      const edge = edgeOf(transfer);
      edges.set(edge, [...(edges.get(edge) ?? []), transfer.microbatch]);
    }
    return edges;
  };
  const [sent, received] = [sequence('send'), sequence('receive')];
  const edge = [...new Set([...sent.keys(), ...received.keys()])].find((name) => sent.get(name)?.join() !== received.get(name)?.join());
  return edge === undefined ? undefined : `from stage ${edge} the order of sends is not that of receives`;
}

/**
 * Walks all transfers with room for `buffers` messages an edge; what is stuck, if anything is. Which worker goes first does
 * not matter: each edge has one sender and one receiver, so that nothing one worker does takes from another what it could do.
 */
function exchange(transfers: readonly (readonly Transfer[])[], buffers: number): string | undefined {
  const positions = transfers.map(() => 0);
  const held = new Map<string, number>();
  const step = (transfer: Transfer): boolean => {
    const edge = edgeOf(transfer);
    const waiting = held.get(edge) ?? 0;
    const possible = transfer.kind === 'send' ? waiting < buffers : waiting > 0;
    if (possible) held.set(edge, waiting + (transfer.kind === 'send' ? 1 : -1));
    return possible;
  };
  for (let advanced = true; advanced;) {
    advanced = false;
    for (const [rank, own] of transfers.entries()) {
      while (positions[rank]! < own.length && step(own[positions[rank]!]!)) {
        positions[rank]!++;
        advanced = true;
      }
    }
  }
  const rank = transfers.findIndex((own, index) => positions[index]! < own.length);
  if (rank < 0) return undefined;
  const { kind, tensor, microbatch, fromStage, toStage } = transfers[rank]![positions[rank]!]!;
  return `deadlock: worker ${rank} cannot ${kind} the ${tensor} of microbatch ${microbatch} from stage ${fromStage} to ${toStage}`;
}
