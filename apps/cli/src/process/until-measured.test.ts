import { expect, it } from 'vitest';
import type { NodeRow } from '@longtail/protocol';
import { untilMeasured } from './until-measured.js';

const UNMEASURED = { link: { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 } } as NodeRow;
const MEASURED = { link: { upBitsPerSecond: 1e7, downBitsPerSecond: 1e8, roundTripMs: 20 } } as NodeRow;

it('an arm begins once the links of all of its workers are measured, and those who have only joined are waited for', async () => {
  const answers = [[MEASURED], [MEASURED, UNMEASURED], [MEASURED, MEASURED], []];
  const listNodes = () => Promise.resolve({ nodes: answers.shift()!, peers: [], gone: [] });
  await untilMeasured({ listNodes }, 2, new AbortController().signal);
  expect(answers).toEqual([[]]);
});
