import type { WorkerEvent } from '@longtail/worker';
import { expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { WorkerNarrator } from './worker.js';

const RUN = { run: 'r1' };

it('tells the owner of a node what matters', () => {
  const narrator = new WorkerNarrator(NO_COLORS);
  const tasks = Array.from({ length: 100 }, (_, i): WorkerEvent[] => [
    { event: 'task', ...RUN, task: i + 1, kind: 'GRADIENT', samples: 32 },
    { event: 'done', ...RUN, task: i + 1, kind: 'GRADIENT', samples: 32, computeMs: 20 },
    { event: 'receipt', ...RUN, task: i + 1, weight: 1, staleness: 0, accepted: i !== 50, reason: i === 50 ? 'the round was over' : '' },
  ]).flat();
  const events: WorkerEvent[] = [
    { event: 'joined', node: 'n1', peer: '10.0.0.5:7077' },
    { event: 'link', upBitsPerSecond: 18.2e6, roundTripMs: 31.4 },
    { event: 'profiling', ...RUN, job: 'mnist' },
    { event: 'preparing', ...RUN, job: 'mnist' },
    { event: 'ready', ...RUN, samplesPerSecond: 1600, parameters: 207_000 },
    ...tasks,
    { event: 'paused', reason: 'too hot' },
    { event: 'resumed' },
    { event: 'disconnected', reason: 'connection lost' },
    { event: 'reconnecting', inMs: 250, reason: 'nobody answers' },
    { event: 'reconnecting', inMs: 500, reason: 'nobody answers' },
    { event: 'failed', ...RUN, task: 0, error: { code: 'engine', message: 'out of memory', hint: '', where: '' } },
    { event: 'released', ...RUN, reason: 'the run is complete' },
  ];
  expect(events.flatMap((event) => narrator.tell(event))).toEqual([
    'joined 10.0.0.5:7077 as n1',
    'sends 18 Mbit/s, 31 ms there and back',
    "mnist: timing the model's blocks (run r1)",
    'mnist: building the model and loading the data (run r1)',
    'ready: 207k parameters, 1.60k samples/s',
    '32 samples were not accepted: the round was over',
    '100 tasks, 3.20k samples in 2.0 s of computing; 3.14k contributed so far',
    'paused: too hot',
    'works again',
    'disconnected: connection lost',
    'looking for the server (nobody answers)',
    'run r1 failed here: out of memory',
    'run r1 is over here: the run is complete; 3.17k samples contributed so far',
  ]);
});
