import { createRng, type BenchArm, type BenchLinks, type BenchNode, type BenchOutcome, type BenchResult, type BenchSpan } from '@longtail/core';

export interface ExampleOptions {
  readonly arms: number;
  readonly seeds: number;
  readonly nodes: number;
  readonly knobs?: readonly string[];
  /** As `mode: timing`. */
  readonly withoutLoss?: boolean;
  /** Put in front of every text that comes from a file. */
  readonly prefix?: string;
}

const DEVICES = [
  ['RTX 4090', 10, 450, 1599],
  ['RTX 3060', 3, 170, 329],
  ['GTX 1660 SUPER', 1, 125, 229],
  ['M1', 0.6, 20, undefined],
] as const;
const STRATEGIES = ['bsp', 'ssp', 'diloco', 'halos'];
const CODECS = ['fp32', 'fp16', 'int8', 'int4'];

/** The result of a bench that never ran, of any size: for tests and for looking at the report. */
export function exampleResult({ arms, seeds, nodes, knobs, withoutLoss = false, prefix = '' }: ExampleOptions): BenchResult {
  const fleet = Array.from({ length: nodes }, (_, i): BenchNode => {
    const [device, , watts, dollars] = DEVICES[i % DEVICES.length];
    return { name: `${prefix}node-${i + 1}`, device: `${prefix}${device}`, watts, dollars };
  });
  const links = (knobs ?? [undefined]).flatMap((knob, k) =>
    Array.from({ length: seeds }, (_, seed): BenchLinks => {
      const up = (node: number): number => 5e6 * (1 + ((node * 7 + seed + k) % 19));
      return { seed: seed + 1, knob, links: fleet.map((_, i) => ({ up: up(i), down: 6 * up(i), rtt: 20 + ((i * 13) % 130) })) };
    }),
  );
  const results = Array.from({ length: arms }, (_, arm) =>
    (knobs ?? [undefined]).flatMap((knob, k) =>
      Array.from({ length: seeds }, (_, seed): BenchArm => {
        const settings = { strategy: STRATEGIES[arm % 4], codec: CODECS[Math.floor(arm / 4) % 4], h: String(1 + arm) };
        const name = `${prefix}${settings.strategy} · ${settings.codec} · H=${settings.h}`;
        const refused = arms > 3 && arm === arms - 1;
        const outcome = refused
          ? { status: 'refused' as const, reason: `${prefix}no node holds stage 2 of 4: it needs 9.1 GiB and the largest has 8` }
          : exampleOutcome(arm, 1 + k, seed, nodes, withoutLoss, prefix);
        return { name, settings, seed: seed + 1, knob, outcome };
      }),
    ),
  ).flat();
  return {
    version: 2,
    scenario: `${prefix}home-mixed`,
    description: `${prefix}Gaming machines and laptops at home on cable and DSL, from 5 to 95 Mbit/s up, that train a small GPT between them.`,
    mode: withoutLoss ? 'timing' : 'virtual',
    nodes: fleet,
    links,
    targetLoss: withoutLoss ? undefined : 0.8,
    sweep: knobs && { knob: `${prefix}link.up`, values: knobs },
    arms: results,
    winner: {
      arm: results[0].name,
      reason: `${prefix}It reaches loss 0.8 1.4 × sooner than the next: its uploads hide behind its computing, and those of the others do not.`,
    },
  };
}

function exampleOutcome(arm: number, knob: number, seed: number, nodes: number, withoutLoss: boolean, prefix: string): BenchOutcome {
  const rng = createRng(1 + arm * 100 + knob * 10 + seed);
  const pace = (1 + 0.35 * arm) * (1 + 0.5 / knob) * (0.95 + 0.1 * rng.uniform());
  const wallMs = 3_600_000 * pace;
  const floor = 0.55 + 0.03 * arm;
  const bytesPerMs = (2e6 / (1 + arm)) * (nodes / 4);
  const lossAt = (part: number): number => floor + (4 - floor) * Math.exp(-9 * part) + 0.02 * (rng.uniform() - 0.5);
  const points = withoutLoss ? 0 : 600;
  const loss = Array.from({ length: points }, (_, i) => {
    const part = (i + 1) / points;
    return {
      timeMs: part * wallMs,
      samples: Math.round(part * 2e6),
      bytes: part * wallMs * bytesPerMs,
      loss: lossAt(part),
      kind: i % 10 === 9 ? ('validation' as const) : ('training' as const),
    };
  });
  const reached = loss.find(({ loss, kind }) => kind === 'validation' && loss <= 0.8);
  const busy = (node: number): number => Math.max(0.05, 0.97 - 0.05 * arm - 0.2 * (node % 4));
  const outcomes = Array.from({ length: nodes }, (_, node) => ({
    hereMs: wallMs,
    computeMs: wallMs * busy(node),
    sendMs: wallMs * 0.3 * (1 - busy(node)),
    waitMs: wallMs * 0.7 * (1 - busy(node)),
    bytesUp: Math.round((wallMs * bytesPerMs) / nodes / 2),
    bytesDown: Math.round((wallMs * bytesPerMs) / nodes / 2),
    samples: Math.round(2e6 / nodes),
  }));
  const windows = 120;
  const rows = outcomes.map((_, node) => {
    const [joins, leaves] = node % 5 === 4 ? [Math.floor(rng.uniform() * 40), windows - Math.floor(rng.uniform() * 40)] : [0, windows];
    return Array.from({ length: windows }, (_, i) =>
      i < joins || i >= leaves ? null : Math.min(1, Math.max(0, Math.round((busy(node) + 0.2 * (rng.uniform() - 0.5)) * 1000) / 1000)),
    );
  });
  return {
    status: 'done',
    bottleneck: `${prefix}the uplink of the slowest quarter: 41 % of a round is waiting for its contribution`,
    summary: {
      timeToTargetMs: reached?.timeMs,
      finalLoss: loss.at(-1)?.loss,
      wallMs,
      rounds: 480,
      samples: 2_000_000,
      samplesPerSecond: (2_000_000 / wallMs) * 1000,
      utilisation: outcomes.reduce((sum, { computeMs, hereMs }) => sum + computeMs / hereMs, 0) / nodes,
      bubble: arm % 3 === 2 ? 0.11 : undefined,
      bytesUpPerNode: (wallMs * bytesPerMs) / nodes / 2,
      bytesDownPerNode: (wallMs * bytesPerMs) / nodes / 2,
      staleness: arm % 4 === 1 ? 1.7 : 0,
      lostSamples: seed * 512,
      energyWattHours: (nodes * 190 * wallMs) / 3_600_000,
      costDollars: (nodes * 0.06 * wallMs) / 3_600_000,
    },
    loss,
    nodes: outcomes,
    spans: exampleSpans(nodes, wallMs, busy),
    utilisation: { windowMs: wallMs / windows, rows },
  };
}

/** Three rounds: receive, compute, send beside the last of it, wait. */
function exampleSpans(nodes: number, wallMs: number, busy: (node: number) => number): BenchSpan[] {
  const round = wallMs / 480;
  return Array.from({ length: nodes }, (_, node) =>
    [0, 1, 2].flatMap((i): BenchSpan[] => {
      const from = wallMs / 2 + i * round;
      const [got, computed] = [from + round * 0.05, from + round * (0.05 + 0.9 * busy(node))];
      const sent = Math.min(from + round, computed + round * 0.08);
      return [
        { node, kind: 'receive', fromMs: from, toMs: got },
        { node, kind: 'compute', fromMs: got, toMs: computed },
        { node, kind: 'send', fromMs: computed - round * 0.1, toMs: sent },
        { node, kind: 'wait', fromMs: Math.min(sent, from + round), toMs: from + round },
      ];
    }),
  ).flat();
}
