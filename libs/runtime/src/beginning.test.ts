import { freshState, standingEvents, type Job, type RunEvent, type StoredEvent } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { forked, forkSnapshot, rollBack } from './beginning.js';
import type { RunSnapshot } from './ports.js';

/** Commits of so many samples, at the end of each life what the next one finds durable: so many commits back. */
const lives = fc.array(fc.record({ commits: fc.array(fc.integer({ min: 1, max: 99 }), { maxLength: 12 }), back: fc.nat(20), halfWay: fc.boolean() }), { maxLength: 6 });

test('however often a run is resumed, what stands of its log is what its parameters are made of', () => {
  fc.assert(
    fc.property(lives, (history) => {
      const log: StoredEvent[] = [];
      const append = (body: object) => log.push({ seq: log.length + 1, timeMs: 0, body: body as RunEvent });
      // Samples of each commit behind the parameters.
      let behind: number[] = [];
      for (const { commits, back, halfWay } of history) {
        for (const samples of commits) {
          append({ event: 'contribution', samples, accepted: true });
          behind.push(samples);
          append({ event: 'commit', version: behind.length, samples });
        }
        if (halfWay) append({ event: 'contribution', samples: 7, accepted: true });
        const durable = Math.max(0, behind.length - back);
        const lost = behind.slice(durable);
        const { stands, undone } = rollBack(log, durable);
        expect(undone).toEqual({ commits: lost.length, samples: lost.reduce((sum, one) => sum + one, 0) });
        append({ event: 'resumed', version: durable, stands, undone });
        behind = behind.slice(0, durable);
        const standing = standingEvents(log).map(({ body }) => body);
        expect(standing.flatMap((event) => (event.event === 'commit' ? [event.samples] : []))).toEqual(behind);
        expect(standing.flatMap((event) => (event.event === 'contribution' ? [event.samples] : []))).toEqual(behind);
      }
    }),
  );
});

const adam: Job['train']['optimizer'] = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false };
const job = (changes: { optimizer?: Job['train']['optimizer']; sync?: Partial<Job['sync']> } = {}) =>
  ({ train: { epochs: 5, optimizer: changes.optimizer ?? adam }, sync: { strategy: 'bsp', codec: 'fp32', ...changes.sync } }) as Job;
const from = {
  run: 'r1',
  job: job(),
  version: 12,
  steps: 12,
  parameters: Float32Array.of(1, 2),
  state: [Float32Array.of(3, 4), Float32Array.of(5, 6)],
  leases: { samplesPerEpoch: 10, epochs: 2, applied: 3, lost: 0, cursor: { epoch: 0, position: 3 }, returned: [] },
} as unknown as RunSnapshot;

test('a fork goes on with parameters, state and data; another optimizer begins with a fresh state', () => {
  const same = forkSnapshot(from, 'r2', job());
  expect(same).toEqual({ ...from, run: 'r2', job: job(), leases: { ...from.leases, epochs: 5 } });
  const quantized = { ...adam, stateBits: 8 } as const;
  for (const other of [job({ optimizer: quantized }), job({ sync: { strategy: 'diloco' } })]) {
    const fresh = forkSnapshot(from, 'r2', other);
    expect(fresh.steps).toBe(0);
    expect(fresh.state.every((vector) => vector.every((value) => value === 0))).toBe(true);
    expect(fresh.parameters).toEqual(from.parameters);
  }
  expect(forkSnapshot(from, 'r2', job({ optimizer: quantized })).state).toEqual(freshState(quantized, 2));
});

test('a fork of `sync: auto` begins with what was chosen', () => {
  const chosen = { ...from, job: job({ sync: { strategy: 'ssp', staleness: 3 } }) };
  expect(forkSnapshot(chosen, 'r2', job({ sync: { strategy: 'auto' } })).job.sync).toEqual(chosen.job.sync);
});

test('what a run had lost, its fork says of itself', () => {
  const events = (lost: number) => {
    const parent = { ...from, leases: { ...from.leases, lost } };
    return forked(parent, forkSnapshot(parent, 'r2', job())).events.map(({ event }) => event);
  };
  expect(events(0)).toEqual(['submitted', 'forked']);
  expect(events(4)).toEqual(['submitted', 'forked', 'samples_lost']);
});
