import { formatCount, formatSeconds, type BenchArm, type BenchOutcome, type BenchResult } from '@longtail/core';

interface Standing {
  readonly name: string;
  readonly outcomes: readonly BenchOutcome[];
  /** Greater is better; undefined: it did not get there with every seed. */
  readonly score: number | undefined;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The arm that is best over all seeds and values of the knob that any arm can have, and why; undefined where none ran. */
export function winnerOf(all: readonly BenchArm[], targetLoss: number | undefined): BenchResult['winner'] {
  const setting = ({ seed, knob }: BenchArm) => `${seed} ${knob}`;
  const possible = new Set(all.filter(({ outcome }) => outcome.status === 'done').map(setting));
  const arms = all.filter((arm) => possible.has(setting(arm)));
  const names = [...new Set(arms.map(({ name }) => name))];
  const standings = names.map((name) => standingOf(name, arms.filter((arm) => arm.name === name), targetLoss));
  const scored = standings.filter(({ score }) => score !== undefined).sort((a, b) => b.score! - a.score!);
  const [best, next] = scored;
  if (best !== undefined) return { arm: best.name, reason: reasonFor(best, next, targetLoss) };
  const ran = standings.filter(({ outcomes }) => outcomes.length > 0);
  if (ran.length === 0) return undefined;
  if (targetLoss === undefined) {
    const fastest = ran.sort((a, b) => rateOf(b) - rateOf(a))[0]!;
    return { arm: fastest.name, reason: `no arm ran with every seed and value; where it did it is the fastest, ${formatCount(rateOf(fastest))} samples/s` };
  }
  const closest = ran.sort((a, b) => lossOf(a) - lossOf(b))[0]!;
  return { arm: closest.name, reason: `no arm reaches a loss of ${targetLoss}${possible.size > 1 ? ' with every seed' : ''}; its own is the lowest, ${lossOf(closest).toFixed(3)}` };
}

function standingOf(name: string, arms: readonly BenchArm[], targetLoss: number | undefined): Standing {
  const outcomes = arms.flatMap(({ outcome }) => (outcome.status === 'done' ? [outcome] : []));
  if (outcomes.length < arms.length || outcomes.length === 0) return { name, outcomes, score: undefined };
  if (targetLoss === undefined) return { name, outcomes, score: rateOf({ outcomes }) };
  const times = outcomes.map(({ summary }) => summary.timeToTargetMs);
  return { name, outcomes, score: times.every((time) => time !== undefined) ? -mean(times) : undefined };
}

function rateOf({ outcomes }: Pick<Standing, 'outcomes'>): number {
  return mean(outcomes.map(({ summary }) => summary.samplesPerSecond));
}

function lossOf({ outcomes }: Standing): number {
  return mean(outcomes.map(({ summary }) => summary.finalLoss ?? Infinity));
}

function reasonFor(best: Standing, next: Standing | undefined, targetLoss: number | undefined): string {
  const claim = targetLoss === undefined ? `${formatCount(rateOf(best))} samples/s` : `a loss of ${targetLoss} after ${formatSeconds(-best.score! / 1000)}`;
  const why = `its bottleneck is ${best.outcomes[0]!.bottleneck}`;
  if (next === undefined) return `${claim}; ${why}`;
  const times = targetLoss === undefined ? best.score! / next.score! : next.score! / best.score!;
  const lead = `${times < 1.005 ? '' : `${times.toFixed(2)} times `}as fast as ${next.name} (${next.outcomes[0]!.bottleneck})`;
  const parts = targetLoss === undefined ? '' : `: ${(rateOf(best) / rateOf(next)).toFixed(2)} times the samples a second, ${(samplesFor(next) / samplesFor(best)).toFixed(2)} times the progress of a sample`;
  return `${claim}, ${lead}${parts}; ${why}`;
}

/** Of a run to its target, at its mean rate. */
function samplesFor({ outcomes }: Standing): number {
  return mean(outcomes.map(({ summary }) => (summary.timeToTargetMs! * summary.samplesPerSecond) / 1000));
}
