import type { CodecName } from '@longtail/core';
import { CODEC_IDS } from '@longtail/kernels';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { SentContributions } from './testing/sent-contributions.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const codecs = Object.keys(CODEC_IDS) as CodecName[];

// benchmarks/simulator/fuzz.mjs runs a million of each codec.
test.each(codecs)('mutated frames and messages change nothing, whatever the server makes of them (%s)', async (codec) => {
  const sent = new SentContributions();
  const fuzz: Fault = { kind: 'fuzz', worker: 'c', each: 60 };
  const topK = { density: 0.25, values: 'int8', selection: 'exact' } as const;
  const run = scenario({ job: job({ train: { epochs: 3 }, sync: { codec, topK }, cluster: { minWorkers: 2 } }), faults: [fuzz], ...sent.hooks });
  const { verdict, events, fired, fuzzed } = await simulate(run);
  expect(fired).toEqual(new Set([fuzz]));
  expect(fuzzed.mutated).toBeGreaterThan(500);
  expect(fuzzed.wellFormed).toBeGreaterThan(20);
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: 1800, lost: 0 } });
  expect(sent.firstDifference(run, events)).toBeUndefined();
  const refused = eventsOf(events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.length).toBeGreaterThan(0);
  expect(new Set(refused.map(({ name }) => name))).toEqual(new Set(['c']));
});
