import { LongtailError } from '@longtail/core';
import type { ReplayReport } from '@longtail/parameter-server';
import { expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { replayLines } from './replay.js';

const report: ReplayReport = {
  run: '1f0c7a2b',
  name: 'mnist',
  result: 'agree',
  version: 118,
  computed: 118,
  checked: [{ after: 0, upTo: 118 }],
  commits: 118,
  bytes: 96 * 2 ** 20,
  kept: [
    { what: 'checkpoint', version: 60, agrees: true },
    { what: 'model', version: 118, agrees: true },
  ],
};
const linesOf = (changes: Partial<ReplayReport> = {}) => replayLines({ ...report, ...changes }, 3.21, NO_COLORS);

it('says what agrees', () => {
  expect(linesOf()).toEqual([
    'mnist, run 1f0c7a2b: 118 commits up to version 118 from 96.0 MiB of contributions in 3.2 s',
    'agrees   checkpoint 60',
    'agrees   the model, version 118',
    'every version up to 118 has the same bits',
  ]);
});

it('says where it differs, how far, and whose contributions the first such version is made of', () => {
  const difference = { tensor: 'dense/kernel', index: 17, kept: 0.5, replayed: 0.25, values: 3200, most: 0.75 };
  const damaged = { what: 'checkpoint', version: 90, agrees: false, reason: 'its checksum is wrong' } as const;
  const contribution = { node: 'n1', name: 'laptop', round: 57, samples: 128, weight: 0.70711 };
  const first = { version: 57, after: 56, reason: 'no matter', contributions: [contribution, { ...contribution, name: 'desktop', weight: 1 }] };
  expect(linesOf({ result: 'differ', first, kept: [{ what: 'checkpoint', version: 60, agrees: false, difference }, damaged] }).slice(1)).toEqual([
    'differs  checkpoint 60: dense/kernel[17] is 0.5, computed 0.25 and 3.20k more, by 0.75 at most',
    'differs  checkpoint 90: its checksum is wrong',
    'differs  version 57, made of',
    '         laptop: 128 samples of round 57, weight 0.707',
    '         desktop: 128 samples of round 57',
  ]);
});

it('says how far it came where the rest is missing', () => {
  const missing = new LongtailError('The recording ends with version 40.', { code: 'usage' });
  const incomplete = (checked: ReplayReport['checked']) => linesOf({ result: 'incomplete', computed: 40, checked, commits: 40, kept: [], missing }).slice(1);
  expect(incomplete([{ after: 0, upTo: 40 }])).toEqual(['versions 1 to 40 have the same bits; what makes the others is missing']);
  expect(incomplete([{ after: 0, upTo: 19 }, { after: 21, upTo: 118 }])).toEqual(['versions 1 to 19 and 22 to 118 have the same bits; what makes the others is missing']);
  expect(incomplete([])).toEqual(['no version could be computed; what makes the others is missing']);
});
