// Random fleets with a job for each: rng → { profile, cluster, request }.
const GIB = 2 ** 30;
/** fp32 TFLOP/s and GiB of cards that people have. */
const CARDS = [
  [82.6, 24],
  [48.7, 16],
  [29, 12],
  [22, 8],
  [35.6, 24],
  [20.3, 8],
  [13, 12],
  [9.1, 8],
  [6.5, 6],
  [5, 6],
];

/** A GPT of `layers` layers of width `width`, 1,024 tokens a sample, in the style of libs/engine. `tied`: its head reads the embedding's table, else one of its own. */
export function gpt(width, layers, { tied = true, context = 1024, vocabulary = 50257 } = {}) {
  const block = (name, parameters, flops, values, shared = []) => ({
    name,
    parameters,
    tied: shared,
    forwardFlops: flops,
    backwardFlops: 2 * flops,
    outputBytes: 4 * context * width,
    stashBytes: 4 * context * values,
    cutAfter: true,
  });
  const table = vocabulary * width;
  const shared = tied ? [{ name: 'embedding.table', parameters: table }] : [];
  const own = tied ? 0 : table;
  const layer = 12 * width * width;
  return {
    name: `gpt-${width}x${layers}`,
    inputBytes: 4 * context,
    blocks: [
      block('embedding', own, 0, width, shared),
      ...Array.from({ length: layers }, (_, i) =>
        block(`layer${i}`, layer, 2 * layer * context + 4 * context * context * width, 16 * width),
      ),
      block('head', width + own, 2 * table * context, width + vocabulary, shared),
    ],
  };
}

export const request = {
  stepsPerRound: 1,
  microbatches: [1, 4],
  stateBytesPerParameter: 8,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 16,
  recompute: 'allowed',
  schedule: 'capped-1f1b',
  workspaceBytes: 0.4 * GIB,
};
/** By name, of so many devices. */
export const fleetsOf = (count) => ({
  'one hall, 10 Gbit/s, nobody holds the model': (rng) => ({
    profile: gpt(2560, 32),
    cluster: hall(rng, count),
    request: { ...request, batch: 131072 },
  }),
  'homes, local steps, most hold the model': (rng) => ({
    profile: gpt(1024, 16),
    cluster: homes(rng, count),
    request: { ...request, batch: 32768, stepsPerRound: 200, upBitsPerValue: 4, downBitsPerValue: 16 },
  }),
  'homes and offices of 5 to 40': (rng) => ({
    profile: gpt(1536, 24, { tied: false }),
    cluster: offices(rng, count),
    request: { ...request, batch: 32768, stepsPerRound: 200, upBitsPerValue: 4, downBitsPerValue: 16 },
  }),
  'homes and offices, the head tied to the embedding': (rng) => ({
    profile: gpt(1536, 24),
    cluster: offices(rng, count),
    request: { ...request, batch: 32768, stepsPerRound: 200, upBitsPerValue: 4, downBitsPerValue: 16 },
  }),
});

function card(rng, i, link) {
  const [tflops, gib] = CARDS[rng.below(CARDS.length)];
  return { id: `n${i}`, name: `${tflops} TFLOP/s`, flopsPerSecond: 0.35e12 * tflops, memoryBytes: gib * GIB, ...link };
}

function homeLink(rng) {
  const up = Math.min(100, Math.max(5, 20 * Math.exp(0.8 * rng.normal()))) * 1e6;
  return { upBitsPerSecond: up, downBitsPerSecond: 6 * up, roundTripMs: 20 + 130 * rng.uniform() };
}

function hall(rng, count) {
  const devices = Array.from({ length: count }, (_, i) =>
    card(rng, i, { upBitsPerSecond: 1e10, downBitsPerSecond: 1e10, roundTripMs: 0.2 }),
  );
  return { devices, lans: [{ name: 'hall', devices: devices.map(({ id }) => id), bitsPerSecond: 1e10, roundTripMs: 0.2 }], peers: [] };
}

function homes(rng, count) {
  return { devices: Array.from({ length: count }, (_, i) => card(rng, i, homeLink(rng))), lans: [], peers: [] };
}

function offices(rng, count) {
  const { devices } = homes(rng, count);
  const lans = [];
  for (let start = 0; start < count / 2;) {
    const size = 5 + rng.below(36);
    lans.push({
      name: `office${lans.length}`,
      devices: devices.slice(start, start + size).map(({ id }) => id),
      bitsPerSecond: 1e9,
      roundTripMs: 0.5,
    });
    start += size;
  }
  return { devices, lans, peers: [] };
}
