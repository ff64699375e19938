import { expect, test } from 'vitest';
import { interleaved } from './interleaved.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { equalStages } from './testing/arbitraries.js';
import { transfersOf, type Transfer } from './transfers.js';
import { zeroBubble } from './zero-bubble.js';

const told = ({ kind, tensor, peer, fromStage, toStage, microbatch, action }: Transfer) =>
  `${action}: ${kind} ${tensor} ${microbatch} ${fromStage}→${toStage}, worker ${peer}`;

test('the middle of three stages receives before and sends after each action', () => {
  const actions = oneForwardOneBackward().actions(1, equalStages(3, 1, 1, 1), 2);
  expect(transfersOf(actions, { workers: 3, stages: 3 }).map(told)).toEqual([
    '0: receive activation 0 0→1, worker 0',
    '0: send activation 0 1→2, worker 2',
    '1: receive activation 1 0→1, worker 0',
    '1: send activation 1 1→2, worker 2',
    '2: receive gradient 0 2→1, worker 2',
    '2: send gradient 0 1→0, worker 0',
    '3: receive gradient 1 2→1, worker 2',
    '3: send gradient 1 1→0, worker 0',
  ]);
});

test('with chunks the last worker sends on to the first', () => {
  const actions = interleaved({ chunks: 2 }).actions(1, equalStages(4, 1, 1, 1), 1);
  expect(transfersOf(actions, { workers: 2, stages: 4 }).map(told)).toEqual([
    '0: receive activation 0 0→1, worker 0',
    '0: send activation 0 1→2, worker 0',
    '1: receive activation 0 2→3, worker 0',
    '2: send gradient 0 3→2, worker 0',
    '3: receive gradient 0 2→1, worker 0',
    '3: send gradient 0 1→0, worker 0',
  ]);
});

test('gradients of weights stay where they are, and so does everything of a single worker', () => {
  const split = zeroBubble().actions(1, equalStages(2, 1, 1, 1), 1);
  expect(transfersOf(split, { workers: 2, stages: 2 }).map(told)).toEqual([
    '0: receive activation 0 0→1, worker 0',
    '1: send gradient 0 1→0, worker 0',
  ]);
  expect(transfersOf(interleaved({ chunks: 3 }).actions(0, equalStages(3, 1, 1, 1), 4), { workers: 1, stages: 3 })).toEqual([]);
});
