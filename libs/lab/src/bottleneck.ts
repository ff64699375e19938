import { formatBitRate, type BenchNode, type BenchOutcome } from '@longtail/core';
import type { LinkRates } from '@longtail/spec';
import type { CriticalPath } from './critical-path.js';

/** From here on nothing but faster devices would help. */
const COMPUTE_BOUND = 0.85;
/** A link of whose rate this part is used is full. */
const FULL = 0.7;

const percent = (part: number) => `${Math.round(100 * part)} %`;

/** What bounds a run, in a sentence: what the contributions spent their time on that rounds ended with. */
export function bottleneckOf({ summary, nodes: outcomes }: Omit<BenchOutcome, 'bottleneck'>, nodes: readonly BenchNode[], server: LinkRates, path: CriticalPath): string {
  const { utilisation, samples, lostSamples, bubble, wallMs } = summary;
  const lost = lostSamples / (samples + lostSamples || 1);
  if (lost > 1 - COMPUTE_BOUND && lost > 1 - utilisation) return `churn: ${percent(lost)} of the samples that were given out came to nothing`;
  if (utilisation >= COMPUTE_BOUND) return `compute: devices are at work ${percent(utilisation)} of the time`;
  if (bubble !== undefined && bubble > 0.5) return `pipeline: stages wait for each other ${percent(bubble)} of the time`;
  const main = path.mainPart();
  const node = nodes.find(({ name }) => name === main?.name);
  if (main === undefined || node === undefined) return 'nobody contributed';
  const total = (of: (outcome: (typeof outcomes)[number]) => number) => outcomes.reduce((sum, outcome) => sum + of(outcome), 0);
  const part = percent(main.part);
  const rest = `; devices are at work ${percent(utilisation)} of the time`;
  if (main.kind === 'compute') return `straggler: ${part} of a round is computing, at last that of ${node.name} (${node.device})${rest}`;
  const [word, doing, own, way, shared, bytes] =
    main.kind === 'send'
      ? (['uplink', 'sending', node.link.up, 'in', server.down, total(({ bytesUp }) => bytesUp)] as const)
      : (['downlink', 'receiving', node.link.down, 'out', server.up, total(({ bytesDown }) => bytesDown)] as const);
  const full = main.bitsPerSecond > FULL * own;
  // What passes the server's link passes it in that part of the time.
  const used = (8000 * bytes) / (wallMs * main.part);
  if (!full && used > FULL * shared) return `server: ${part} of a round is ${doing}, and all share its ${formatBitRate(shared)} ${way}${rest}`;
  return `${word}: ${part} of a round is ${doing}, at last that of ${node.name} (${full ? '' : `${formatBitRate(main.bitsPerSecond)} of `}${formatBitRate(own)})${rest}`;
}
