import { formatMilliseconds } from '@longtail/core';
import type { Compared, Deviation, DeviceComparison, GroupComparison } from './comparison.js';

/** Closer than this to its plan, a round is as planned. */
const AS_PLANNED = 0.02;

/** The round is that of the slowest group, and falls into four parts: each is held against its plan. */
export function deviationOf(groups: readonly GroupComparison[], roundMs: Compared): Deviation {
  const slowest = most(groups, ({ steps, stepMs, exchangeMs }) => steps.measured * stepMs.measured + exchangeMs.measured);
  const devices = slowest.stages.flat();
  const [planned, measured] = (['planned', 'measured'] as const).map((of) => {
    const compute = most(devices, ({ computeMs }) => computeMs[of]).computeMs[of];
    const [steps, exchange] = [slowest.steps[of] * slowest.stepMs[of], slowest.exchangeMs[of]];
    return { compute, waiting: Math.max(0, steps - compute), exchange, rest: Math.max(0, roundMs[of] - steps - exchange) };
  }) as [Record<Deviation['part'], number>, Record<Deviation['part'], number>];
  const parts = (['compute', 'waiting', 'exchange', 'rest'] as const).map((part) => ({ part, ms: { planned: planned[part], measured: measured[part] } }));
  // What went the other way does not explain a round that is longer, or shorter.
  const change = changeOf(roundMs);
  const way = Math.abs(change) < AS_PLANNED ? Math.abs : (ms: number) => Math.sign(change) * ms;
  const { part, ms } = most(parts, ({ ms }) => way(ms.measured - ms.planned));
  return { part, ms, sentence: `${verdictOn(roundMs)} ${sentences[part](ms, slowest, most(devices, straying))}` };
}

function changeOf({ planned, measured }: Compared): number {
  return measured / planned - 1;
}

function verdictOn(roundMs: Compared): string {
  const change = changeOf(roundMs);
  if (Math.abs(change) < AS_PLANNED) return 'A round takes what was planned. The largest deviation within:';
  return `A round takes ${Math.abs(100 * change).toFixed(0)} % ${change > 0 ? 'more' : 'less'} than planned, most of it here:`;
}

type Sentence = (ms: Compared, group: GroupComparison, device: DeviceComparison) => string;

const sentences: Readonly<Record<Deviation['part'], Sentence>> = {
  compute: (ms, _group, { name, passMs }) =>
    `compute takes ${pair(ms)}; ${name} needs ${pair(passMs)} a microbatch, ${passMs.measured > passMs.planned ? 'slower than its profile: other work on that machine, or a profile that knows its FLOP/s only' : 'faster than its profile'}.`,
  waiting: (ms, { number, kind }) =>
    kind === 'solo'
      ? `group ${number} is at its steps ${pair(ms)} longer than it computes: its event loop or its data hold it up.`
      : `the busiest stage of group ${number} waits ${pair(ms)} a round for others: the schedule's bubble, and what links and hand-overs between stages add to it.`,
  exchange: (ms, { number }) =>
    `parameters down and gradients up take group ${number} ${pair(ms)}: its link is ${ms.measured > ms.planned ? 'slower than planned with, or shared' : 'faster than planned with, or the exchange hides behind compute'}.`,
  rest: (ms) => `${pair(ms)} of a round are neither a group's step nor its exchange: the server's commit, validation, and waiting for other groups.`,
};

function pair({ planned, measured }: Compared): string {
  return `${formatMilliseconds(measured)} (planned ${formatMilliseconds(planned)})`;
}

function straying({ passMs }: DeviceComparison): number {
  return Math.abs(passMs.measured - passMs.planned);
}

function most<T>(items: readonly T[], of: (item: T) => number): T {
  return items.reduce((best, next) => (of(next) > of(best) ? next : best));
}
