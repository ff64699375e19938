import type { Action } from '@longtail/core';

/** A message that a worker sends or receives because of one of its actions. */
export interface Transfer {
  readonly kind: 'send' | 'receive';
  readonly tensor: 'activation' | 'gradient';
  /** Rank of the worker at the other end. */
  readonly peer: number;
  readonly fromStage: number;
  readonly toStage: number;
  readonly microbatch: number;
  /** Index in the worker's list: received before this action begins, sent after it has ended. */
  readonly action: number;
}

/**
 * The transfers of one worker in the order in which it walks its actions. Nothing is sent within a worker, and a weight
 * gradient is nobody else's. A stage with replicas, each taking its share of the microbatches, has the same transfers
 * filtered by microbatch; which replica is meant by `peer` is the runtime's to resolve.
 */
export function transfersOf(actions: readonly Action[], { workers, stages }: { workers: number; stages: number }): readonly Transfer[] {
  return actions.flatMap((action, index) => {
    if (action.op === 'W' || workers === 1) return [];
    const { stage, microbatch } = action;
    const [from, to] = action.op === 'F' ? [stage - 1, stage + 1] : [stage + 1, stage - 1];
    const common = { tensor: action.op === 'F' ? 'activation' : 'gradient', microbatch, action: index } as const;
    const exists = (neighbour: number) => neighbour >= 0 && neighbour < stages;
    const transfers: Transfer[] = [];
    if (exists(from)) transfers.push({ kind: 'receive', peer: from % workers, fromStage: from, toStage: stage, ...common });
    if (exists(to)) transfers.push({ kind: 'send', peer: to % workers, fromStage: stage, toStage: to, ...common });
    return transfers;
  });
}
