import type { Action, Schedule } from '@longtail/core';
import { workersOf } from './lists.js';

/**
 * Interleaved 1F1B (Narayanan et al. 2021, Megatron-LM): stage r + k·p is chunk k of worker r, and microbatches go through
 * a chunk in groups of p. m(F+B)+(p−1)(F+B)/v where F and B are a worker's whole, all stages equal, m a multiple of p.
 *
 * For any other m the lists are those of the next multiple without the microbatches that do not exist: leaving actions out
 * of orders that cannot deadlock leaves orders that cannot.
 */
export function interleaved({ chunks }: { readonly chunks: number }): Schedule {
  const shape = { name: 'interleaved', chunks } as const;
  return {
    ...shape,
    splitsBackward: false,
    actions: (rank, stages, microbatches) => actions(rank, workersOf(shape, stages), chunks, microbatches),
    stashCap: (rank, stages, microbatches) => stashCap(rank, workersOf(shape, stages), chunks, microbatches),
  };
}

function actions(rank: number, workers: number, chunks: number, microbatches: number): Action[] {
  const passes = workers * Math.ceil(microbatches / workers) * chunks;
  const at = (op: 'F' | 'B', pass: number): Action => {
    const turn = Math.floor(pass / workers);
    const chunk = turn % chunks;
    return {
      op,
      stage: rank + workers * (op === 'F' ? chunk : chunks - 1 - chunk),
      microbatch: Math.floor(turn / chunks) * workers + (pass % workers),
    };
  };
  const ahead = passesAhead(rank, workers, chunks, passes);
  const list = Array.from({ length: ahead }, (_, pass) => at('F', pass));
  for (let pass = 0; pass < passes; pass++) {
    if (pass + ahead < passes) list.push(at('F', pass + ahead));
    list.push(at('B', pass));
  }
  return list.filter(({ microbatch }) => microbatch < microbatches);
}

function stashCap(rank: number, workers: number, chunks: number, microbatches: number): number {
  return Math.min(microbatches * chunks, passesAhead(rank, workers, chunks, Infinity) + 1);
}

function passesAhead(rank: number, workers: number, chunks: number, passes: number): number {
  return Math.min(passes, (chunks - 1) * workers + 2 * (workers - 1 - rank));
}
