import type { Job, RunEvent, StoredEvent } from '@longtail/core';
import { describe, expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { renderLive } from './live.js';
import { PlainNarrator } from './plain.js';
import { advance, NOTHING_YET, secondsLeft } from './progress.js';
import { exchangeTable, verdictLines, workerTable } from './summary.js';

const START = 1_700_000_000_000;
const RUN = { run: 'mnist-1' };

/** A small run: a fast and a slow worker, one late contribution, two validations. */
const EVENTS: readonly (readonly [seconds: number, event: RunEvent])[] = [
  [0, { event: 'submitted', ...RUN, protocol: 1, job: { name: 'mnist', model: { type: 'mlp' }, train: { epochs: 2 } } as Job }],
  [0, { event: 'waiting', ...RUN, have: 0, need: 2, reason: 'no worker has joined' }],
  [1, { event: 'node_joined', node: 'n1', name: 'fast', engine: 'tensorflow', device: 'CPU', throttle: 1 }],
  [1, { event: 'node_joined', node: 'n2', name: 'slow', engine: 'wasm', device: 'CPU', throttle: 0.25 }],
  [2, ready('n1', 'fast', 'tensorflow', 4000)],
  [2.5, ready('n2', 'slow', 'wasm', 1000)],
  [3, { event: 'started', ...RUN, parameters: 214_000, samplesPerEpoch: 60_000, samplesTotal: 120_000, workers: 2 }],
  [3, { event: 'shares', ...RUN, round: 1, shares: { n1: 24_000, n2: 6000 }, reason: 'measured speed' }],
  [8.9, contribution(1, 'n1', 'fast', 24_000, 5800, true)],
  [9, contribution(1, 'n2', 'slow', 6000, 5900, true)],
  [9, commit(1, 30_000, 0.5, 2.1, 0.4)],
  [10, commit(1, 30_000, 0.5, 2.1, 0.4)],
  [14, contribution(2, 'n1', 'fast', 24_000, 4900, true)],
  [15, { event: 'lease_returned', ...RUN, node: 'n2', samples: 6000, reason: 'missed the deadline' }],
  [15, commit(2, 54_000, 0.9, 0.31, 0.9)],
  [16, contribution(2, 'n2', 'slow', 6000, 9000, false)],
  [17, { event: 'validation', ...RUN, version: 2, epoch: 1, samples: 10_000, loss: 0.1234, accuracy: 0.9812, ms: 400 }],
  [18, { event: 'node_left', node: 'n2', name: 'slow', reason: 'connection lost' }],
  [19, { event: 'warning', ...RUN, message: 'one worker is left', hint: 'let more join' }],
  [21, commit(3, 90_000, 1.5, 0.08, 0.97)],
];

const VERDICT: RunEvent = {
  event: 'verdict',
  status: 'succeeded',
  ...RUN,
  job: 'mnist',
  engine: 'tensorflow+wasm',
  metrics: { validation_loss: 0.0456, validation_accuracy: 0.9871, train_loss: 0.05 },
  samples: { applied: 120_000, lost: 0 },
  seconds: 27.4,
  bytes: { up: 30_000_000, down: 31_000_000, direct: 2_000_000 },
  model: '/runs/mnist-1/model.safetensors',
  reason: 'all samples applied',
};

function ready(node: string, name: string, engine: string, samplesPerSecond: number): RunEvent {
  return { event: 'worker_ready', ...RUN, node, name, engine, samplesPerSecond, parameters: 214_000, memoryBytes: 1e9 };
}

function contribution(round: number, node: string, name: string, samples: number, computeMs: number, accepted: boolean): RunEvent {
  const traffic = { bytesUp: 856_000, bytesDown: 856_000, sentAtMs: START, doneAtMs: START + computeMs };
  const reason = accepted ? 'in time' : 'the round was over';
  return {
    event: 'contribution',
    ...RUN,
    round,
    node,
    name,
    samples,
    accepted,
    weight: accepted ? 1 : 0,
    staleness: 0,
    reason,
    computeMs,
    elapsedMs: computeMs,
    ...traffic,
  };
}

function commit(round: number, samplesApplied: number, epoch: number, loss: number, accuracy: number): RunEvent {
  const figures = { learningRate: 1e-3, gradientNorm: 1, roundMs: 5000, samplesPerSecond: 5000, reason: 'all delivered' };
  return { event: 'commit', ...RUN, round, version: round, samples: 30_000, samplesApplied, epoch, loss, accuracy, ...figures };
}

const STORED: readonly StoredEvent[] = EVENTS.map(([seconds, body], i) => ({ seq: i + 1, timeMs: START + seconds * 1000, body }));
const progressAfter = (events: readonly StoredEvent[]) => events.reduce(advance, NOTHING_YET);
const ALL = [...STORED, { seq: 99, timeMs: START + 27_000, body: VERDICT }];

it('hours without a checkpoint cost no more for each contribution', () => {
  const delivered = contribution(1, 'n1', 'fast', 10, 5, true);
  let progress = NOTHING_YET;
  for (let seq = 1; seq <= 150_000; seq++) progress = advance(progress, { seq, timeMs: seq, body: delivered });
  progress = advance(progress, { seq: 150_001, timeMs: 150_001, body: { event: 'resumed', run: 'r', version: 1, samplesApplied: 10, stands: 1, undone: { commits: 1, samples: 10 }, reason: '' } });
  expect([...progress.workers.values()].map(({ samples }) => samples)).toEqual([10]);
});

it('what a killed server undid is not counted as done', () => {
  const saved: RunEvent = { event: 'checkpoint', ...RUN, version: 1, path: '', bytes: 1, ms: 1 };
  const resumed: RunEvent = { event: 'resumed', ...RUN, version: 1, samplesApplied: 30_000, stands: 3, undone: { commits: 1, samples: 30_000 }, reason: 'its server was killed' };
  const round = (number: number): RunEvent[] => [
    contribution(number, 'n1', 'fast', 24_000, 5800, true),
    contribution(number, 'n2', 'slow', 6000, 5900, true),
    commit(number, 30_000 * number, 0.5, 2.1, 0.4),
  ];
  const events = [...round(1), saved, ...round(2), saved, contribution(3, 'n1', 'fast', 24_000, 5800, true), resumed, ...round(2)];
  const { workers } = progressAfter(events.map((body, i) => ({ seq: i + 1, timeMs: START + i, body })));
  expect(workers.get('n1')).toMatchObject({ samples: 48_000, ownSamples: 48_000, contributions: 4, computeMs: 4 * 5800 });
  expect(workers.get('n2')).toMatchObject({ samples: 12_000, contributions: 3 });
});

describe('a run in lines', () => {
  it('says what matters at once and figures every two seconds', () => {
    const narrator = new PlainNarrator(NO_COLORS);
    let progress = NOTHING_YET;
    const lines = ALL.flatMap((stored) => narrator.tell(stored, (progress = advance(progress, stored))));
    expect(lines.join('\n')).toMatchInlineSnapshot(`
      "mnist: run mnist-1
      waiting: 0 of 2 workers (no worker has joined)
      fast is ready: tensorflow, 4.00k samples/s
      slow is ready: wasm, 1.00k samples/s
      training 214k parameters on 2 workers, 120k samples
       25 %  epoch 0.50  loss 2.100  accuracy 40.00 %  5.00k samples/s  18 s left
      slow: 6000 samples go back (missed the deadline)
       45 %  epoch 0.90  loss 0.3100  accuracy 90.00 %  4.00k samples/s  17 s left
      slow: contribution of round 2 not accepted: the round was over
      validation after 1 epoch: loss 0.1234  accuracy 98.12 %
      slow left: connection lost
      warning: one worker is left (let more join)
       75 %  epoch 1.50  loss 0.08000  accuracy 97.00 %  6.00k samples/s  5.0 s left"
    `);
  });
});

describe('a run as a live block', () => {
  it('waits', () => {
    expect(renderLive(progressAfter(STORED.slice(0, 2)), START + 1500, 100, NO_COLORS).join('\n')).toMatchInlineSnapshot(`
      "mnist mnist-1

      waiting for workers: no worker has joined, 1.5 s
      "
    `);
  });

  it('trains', () => {
    expect(renderLive(progressAfter(STORED.slice(0, 15)), START + 16_000, 100, NO_COLORS).join('\n')).toMatchInlineSnapshot(`
      "mnist mnist-1 · 214k parameters

      ██████████████████░░░░░░░░░░░░░░░░░░░░░░  45 %  epoch 0.90 of 2  13 s gone, 17 s left
      loss 0.3100 · accuracy 90.00 % · 4.00k samples/s · up 2.4 MiB · down 2.4 MiB
      ██▁
      validation: not yet

      worker  engine       pace  share              samples/s   samples
      fast    tensorflow      1  ████████   80.0 %      4.20k     48.0k
      slow    wasm         0.25  ██         20.0 %      1.00k     6.00k"
    `);
  });

  it('shows who left', () => {
    const lines = renderLive(progressAfter(STORED), START + 22_000, 100, NO_COLORS);
    expect(lines.at(-1)).toBe('slow    gone: connection lost');
    expect(lines).toContain('validation: loss 0.1234, accuracy 98.12 % after 1.00 epochs');
  });

  it('goes on training after groups moved, and meanwhile says what it waits for', () => {
    const moved: RunEvent[] = [
      { event: 'waiting', ...RUN, have: 0, need: 1, reason: '0 ready, 2 preparing' },
      ready('n1', 'fast', 'tensorflow', 4000),
      { event: 'shares', ...RUN, round: 4, shares: { n1: 30_000 }, reason: 'measured speed' },
    ];
    const stored = moved.map((body, i): StoredEvent => ({ seq: 30 + i, timeMs: START + 22_000 + i, body }));
    const lines = (count: number) => renderLive(progressAfter([...STORED, ...stored.slice(0, count)]), START + 23_000, 100, NO_COLORS);
    const waits = 'waiting for workers: 0 ready, 2 preparing';
    expect(lines(1)).toContain(waits);
    expect(lines(2)).toContain('workers build the model and load the data');
    expect(lines(3).join()).not.toMatch(/waiting|build the model/);
    for (const count of [1, 2, 3]) expect(lines(count).join()).toContain('loss 0.08000 · accuracy 97.00 %');
  });

  it('says nothing of a training that never began', () => {
    const ended: StoredEvent = { seq: 30, timeMs: START + 2000, body: { ...VERDICT, status: 'cancelled', reason: 'interrupted' } as RunEvent };
    expect(renderLive(progressAfter([...STORED.slice(0, 2), ended]), START + 3000, 100, NO_COLORS)).toEqual(['mnist mnist-1', '']);
  });

  it('fits into the terminal', () => {
    // Times of two words are the longest.
    const slow: StoredEvent = { seq: 98, timeMs: START + 1_000_000, body: commit(4, 90_100, 1.5, 0.08, 0.97) };
    for (const nowMs of [START, START + 100_000, START + 45_296_000]) {
      const lines = renderLive(progressAfter([...STORED, slow]), nowMs, 80, NO_COLORS);
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
    }
  });
});

describe('local steps', () => {
  it('are told when they begin, and every half a minute as they adapt', () => {
    const narrator = new PlainNarrator(NO_COLORS);
    const progress = progressAfter(STORED);
    const lines = [0, 10_000, 31_000].flatMap((ms, i) => {
      const body = { event: 'shares', ...RUN, round: i, shares: { n1: 40 + i, n2: 10 }, unit: 'local steps', reason: 'measured' } as const;
      return narrator.tell({ seq: i, timeMs: START + ms, body }, progress);
    });
    expect(lines).toEqual(['local steps: fast 40, slow 10 (measured)', 'local steps: fast 42, slow 10 (measured)']);
  });

  it('have a column while it trains', () => {
    const body = { event: 'shares', ...RUN, round: 4, shares: { n1: 40, n2: 10 }, unit: 'local steps', reason: 'measured' } as const;
    const [heading, fast, slow] = renderLive(progressAfter([...STORED.slice(0, 15), { seq: 50, timeMs: START + 15_500, body }]), START + 16_000, 100, NO_COLORS).slice(-3);
    expect(heading).toMatch(/ samples {2}local steps$/);
    expect([fast, slow].map((line) => line!.split(/ +/).at(-1))).toEqual(['40', '10']);
  });
});

describe('the end of a run', () => {
  it('says who did what', () => {
    expect(workerTable(NOTHING_YET, NO_COLORS)).toBe('');
    expect(workerTable(progressAfter(ALL), NO_COLORS)).toMatchInlineSnapshot(`
      "worker       engine      pace  samples   share  samples/s  compute  busy       up     down
      fast         tensorflow     1    48.0k  88.9 %      4.20k     11 s  45 %  1.6 MiB  1.6 MiB
      slow (left)  wasm        0.25    6.00k  11.1 %        936     15 s  62 %  1.6 MiB  1.6 MiB"
    `);
  });

  it('says where the time went, and what the codec saved', () => {
    expect(exchangeTable(progressAfter(ALL), NO_COLORS)).toBe('');
    const times = { receiveMs: 500, encodeMs: 20, sendMs: 2000, waitMs: 1500 };
    const told = { ...contribution(9, 'n1', 'fast', 30_000, 6000, true), exchange: times, bytesSaved: 7 * 856_000 } as RunEvent;
    const fresh = [told, told].map((body, i) => ({ seq: i + 1, timeMs: START, body }));
    expect(exchangeTable(progressAfter(fresh), NO_COLORS)).toMatchInlineSnapshot(`
      "worker  computes  receives  codes   sends   waits        codec saves up                          uplink
      fast      60.0 %     5.0 %  0.2 %  20.0 %  15.0 %  11.4 MiB of 13.1 MiB  not hidden, 20.0 % of its time"
    `);
  });

  it('says what came of it', () => {
    expect(verdictLines(VERDICT, '/runs/mnist-1/report.html', NO_COLORS).join('\n')).toMatchInlineSnapshot(`
      "mnist succeeded
      validation accuracy 98.71 % · validation loss 0.04560 · 120k samples · 27 s · up 28.6 MiB, down 29.6 MiB, 1.9 MiB direct
      model   /runs/mnist-1/model.safetensors
      report  /runs/mnist-1/report.html"
    `);
    const failed = {
      ...VERDICT,
      status: 'failed',
      reason: 'the loss is not finite',
      model: '',
      metrics: { validation_loss: null, validation_accuracy: null, train_loss: null },
    } as const;
    expect(verdictLines(failed, '/r.html', NO_COLORS)[0]).toBe('mnist failed: the loss is not finite');
  });
});

describe('progress', () => {
  it('counts what was accepted, and forecasts the rest', () => {
    const progress = progressAfter(STORED);
    expect(progress.workers.get('n2')).toMatchObject({ samples: 6000, contributions: 2, rejected: 1, gone: 'connection lost', share: 0 });
    expect(progress.workers.get('n1')).toMatchObject({ samples: 48_000, bytesUp: 2 * 856_000 });
    // 36,000 samples in the six seconds between the commits of the window
    expect(secondsLeft(progress)).toBeCloseTo(30_000 / 6000, 1);
  });

  it('counts the samples of a pipeline once, and gives each stage its share', () => {
    const stages = [
      { node: 'n1', name: 'fast', start: 0, end: 3 },
      { node: 'n2', name: 'slow', start: 3, end: 5 },
    ];
    const layout = { group: 'p1', schedule: '1f1b', microbatch: 8, stages };
    const part = (node: string, name: string, stage: number): RunEvent => ({
      ...(contribution(1, node, name, 30_000, 5000, true) as Extract<RunEvent, { event: 'contribution' }>),
      stage: { group: 'p1', stage, stages: 2 },
    });
    const events: RunEvent[] = [
      { event: 'layout', ...RUN, groups: [layout], spares: ['n3'], reason: 'as the job lays it out' },
      ready('n1', 'fast', 'tensorflow', 4000),
      ready('n2', 'slow', 'wasm', 1000),
      { event: 'shares', ...RUN, round: 1, shares: { p1: 30_000 }, reason: 'one group' },
      part('n1', 'fast', 0),
      part('n2', 'slow', 1),
    ];
    const stored = events.map((body, i): StoredEvent => ({ seq: i + 1, timeMs: START, body }));
    const progress = stored.reduce(advance, NOTHING_YET);
    const workers = [...progress.workers.values()];
    expect(workers.map(({ samples, share }) => [samples, share])).toEqual([
      [30_000, 1],
      [30_000, 1],
    ]);
    expect(workers.reduce((sum, { ownSamples }) => sum + ownSamples, 0)).toBe(30_000);
    expect(new PlainNarrator(NO_COLORS).tell(stored[0]!, progress)).toEqual([
      'layout: p1 = fast (blocks 0–2) → slow (blocks 3–4); 1 spare (as the job lays it out)',
    ]);
    const replicas = [...layout.stages, { node: 'n3', name: 'other', start: 3, end: 5 }];
    const replicated: RunEvent = { event: 'layout', ...RUN, groups: [{ ...layout, stages: replicas }], spares: [], reason: 'planned' };
    expect(new PlainNarrator(NO_COLORS).tell({ seq: 1, timeMs: START, body: replicated }, progress)).toEqual([
      'layout: p1 = fast (blocks 0–2) → slow + other (blocks 3–4) (planned)',
    ]);
  });

  it('shows who times the model’s blocks, and nothing where nobody does', () => {
    const took = { forwardMs: 2, backwardMs: 4, inputGradientMs: 2, stashBytes: 0, forwardCallMs: 0, backwardCallMs: 0, recomputeMs: 0 };
    const blocks = ['first', 'second'].flatMap((block) => [1, 4].map((microbatch) => ({ block, microbatch, ...took })));
    const events: RunEvent[] = [
      { event: 'profiling', ...RUN, node: 'n1', name: 'fast', done: 3, total: 8 },
      { event: 'profiled', ...RUN, node: 'n1', name: 'fast', blocks, handOverMs: 0.4, cached: false, ms: 812 },
    ];
    const [first, second] = events.map((body, i): StoredEvent => ({ seq: i + 1, timeMs: START, body }));
    const during = advance(NOTHING_YET, first!);
    expect(new PlainNarrator(NO_COLORS).tell(first!, during)).toEqual(['profiling fast 3/8 …']);
    expect(renderLive(during, START, 80, NO_COLORS)).toContain('profiling fast 3/8');
    const after = advance(during, second!);
    expect(new PlainNarrator(NO_COLORS).tell(second!, after)).toEqual(['fast: 2 blocks take 12 ms a microbatch of 4 (measured in 812 ms)']);
    expect(renderLive(after, START, 80, NO_COLORS).join()).not.toContain('profiling');
    const told = (body: object) => new PlainNarrator(NO_COLORS).tell({ ...second!, body: { ...second!.body, ...body } as RunEvent }, after);
    expect(told({ untimed: 8 })).toEqual(['fast: 2 of 10 blocks take 12 ms a microbatch of 4, it has no room for the others (measured in 812 ms)']);
    expect(told({ blocks: blocks.slice(0, 3), cached: true })).toEqual(['fast: 1 of 2 blocks takes 6 ms a microbatch of 4, it has no room for the others (known from before)']);
    expect(told({ blocks: [], untimed: 10 })).toEqual(['fast: it has no room for any of the 10 blocks']);
  });
});
