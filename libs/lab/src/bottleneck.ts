import { formatBitRate, formatMilliseconds, type BenchNodeOutcome, type BenchOutcome } from '@longtail/core';
import type { DrawnFleet } from './fleet.js';
import type { Tally } from './tally.js';

/** From here on nothing but faster devices would help. */
const COMPUTE_BOUND = 0.85;
/** A link of whose rate this part is used is full. */
const FULL = 0.7;
/** From here on somebody waits for the last one: of a round, for each contribution. */
const WAITS = 0.1;
/** From here on what came to nothing is told. */
const MUCH_LOST = 0.05;

const percent = (part: number) => `${Math.round(100 * part)} %`;

/** What bounds a run, in a sentence: what the contributions spent their time on that rounds ended with. */
export function bottleneckOf(figures: Omit<BenchOutcome, 'bottleneck'>, fleet: DrawnFleet, tally: Pick<Tally, 'path' | 'lostMostlyBy'>): string {
  const { utilisation, samples, lostSamples } = figures.summary;
  const lost = lostSamples / (samples + lostSamples || 1);
  const lostWork = `${percent(lost)} of the samples that were given out came to nothing (mostly: ${tally.lostMostlyBy})`;
  if (lost > 1 - COMPUTE_BOUND && lost > 1 - utilisation) return `lost work: ${lostWork}`;
  const bound = boundOf(figures, fleet, tally);
  return lost < MUCH_LOST ? bound : `${bound}; ${lostWork}`;
}

function boundOf({ summary, nodes: outcomes }: Omit<BenchOutcome, 'bottleneck'>, { machines, server }: DrawnFleet, { path }: Pick<Tally, 'path'>): string {
  const { utilisation, bubble, wallMs } = summary;
  if (utilisation >= COMPUTE_BOUND) return `compute: devices are at work ${percent(utilisation)} of the time`;
  if (bubble !== undefined && bubble > 0.5) return `pipeline: stages wait for each other ${percent(bubble)} of the time`;
  const main = path.mainPart();
  const rest = `; devices are at work ${percent(utilisation)} of the time`;
  if (main === undefined) return `compute: one machine trains by itself, and exchanges with nobody${rest}`;
  const { bench: node, link } = machines.find(({ bench }) => bench.name === main.name)!;
  const part = percent(main.part);
  if (main.kind === 'compute' && main.waited < WAITS) return `compute: ${part} of a round is computing, ${Math.round(main.contributions)} of ${machines.length} machines take part in one, and none of those waits for another${rest}`;
  if (main.kind === 'compute' && !main.straggles) return `compute: ${part} of a round is computing, and machines wait ${percent(main.waited)} of it for whoever is last, most often ${node.name} (${percent(main.last)} of rounds)${rest}`;
  if (main.kind === 'compute') return `straggler: ${part} of a round is computing, at last that of ${node.name} (${node.device})${rest}`;
  const [word, doing, own, toServer, ofServer, bytesOf] =
    main.kind === 'send'
      ? (['uplink', 'sending', link.up, 'in', server.down, ({ bytesUp }: BenchNodeOutcome) => bytesUp] as const)
      : (['downlink', 'receiving', link.down, 'out', server.up, ({ bytesDown }: BenchNodeOutcome) => bytesDown] as const);
  // To be told and to answer takes a round trip, which counts as receiving.
  if (main.kind === 'receive' && link.rtt > main.transferMs / 2) return `latency: ${part} of a round is receiving, most of that the round trip of ${node.name} (${formatMilliseconds(link.rtt)})${rest}`;
  const full = main.bitsPerSecond > FULL * own;
  // What passes a line that several share passes it in that part of the time.
  const used = (some: readonly BenchNodeOutcome[]) => (8000 * some.reduce((sum, outcome) => sum + bytesOf(outcome), 0)) / (wallMs * main.part);
  const mates = outcomes.filter((_, i) => node.site !== undefined && machines[i]!.bench.site === node.site);
  if (!full && used(mates) > FULL * own) return `site: ${part} of a round is ${doing}, and ${mates.length} machines of ${node.site} share its ${formatBitRate(own)}${rest}`;
  if (!full && used(outcomes) > FULL * ofServer) return `server: ${part} of a round is ${doing}, and all share its ${formatBitRate(ofServer)} ${toServer}${rest}`;
  return `${word}: ${part} of a round is ${doing}, at last that of ${node.name} (${full ? '' : `${formatBitRate(main.bitsPerSecond)} of `}${formatBitRate(own)})${rest}`;
}
