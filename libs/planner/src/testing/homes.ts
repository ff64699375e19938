import { createRng } from '@longtail/core';
import { CostModel } from '../cost-model.js';
import { equalLayers, REQUEST } from './equal-layers.js';

/** Homes of any speed and uplink, each with room for a part of a model of six layers: from so many megabytes to twice as many. */
export function homes(seed: number, count: number, leastMegabytes = 400): CostModel {
  const rng = createRng(seed);
  const devices = Array.from({ length: count }, (_, i) => {
    const up = 1e6 * (1 + rng.below(100));
    const memoryBytes = (leastMegabytes + rng.below(leastMegabytes)) * 1e6;
    return {
      id: `d${i}`,
      name: 'home',
      flopsPerSecond: 1e11 * (1 + rng.below(10)),
      memoryBytes,
      upBitsPerSecond: up,
      downBitsPerSecond: 6 * up,
      roundTripMs: 40,
    };
  });
  return new CostModel(equalLayers(6), { devices, lans: [], peers: [] }, REQUEST);
}
