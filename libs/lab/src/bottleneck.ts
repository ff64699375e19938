import { formatBitRate, type BenchNode, type BenchOutcome } from '@longtail/core';
import type { LinkRates } from '@longtail/spec';
import type { CriticalPath } from './critical-path.js';

/** From here on nothing but faster devices would help. */
const COMPUTE_BOUND = 0.85;
/** A link that is in use for this part of the time is full. */
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
  const ingress = (8000 * total(({ bytesUp }) => bytesUp)) / wallMs / server.down;
  const egress = (8000 * total(({ bytesDown }) => bytesDown)) / wallMs / server.up;
  if (main.kind !== 'compute' && Math.max(ingress, egress) > FULL) {
    const [way, rate, use] = ingress > egress ? (['in', server.down, ingress] as const) : (['out', server.up, egress] as const);
    return `server: its link is full, ${percent(use)} of ${formatBitRate(rate)} ${way}`;
  }
  const part = percent(main.part);
  const rest = `; devices are at work ${percent(utilisation)} of the time`;
  switch (main.kind) {
    case 'compute':
      return `straggler: ${part} of a round is computing, at last that of ${node.name} (${node.device})${rest}`;
    case 'send':
      return `uplink: ${part} of a round is sending, at last that of ${node.name} (${formatBitRate(node.link.up)})${rest}`;
    case 'receive':
      return `downlink: ${part} of a round is receiving, at last that of ${node.name} (${formatBitRate(node.link.down)})${rest}`;
  }
}
