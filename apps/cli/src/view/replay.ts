import { formatBytes, formatCount, formatSeconds } from '@longtail/core';
import type { KeptVersion, ReplayReport } from '@longtail/parameter-server';
import type { Colors } from './colors.js';

/** What a replay came to. */
export function replayLines(report: ReplayReport, seconds: number, { green, red, yellow, dim }: Colors): readonly string[] {
  const { run, name, commits, computed, checked, bytes, kept, first, result } = report;
  return [
    `${name}, run ${run}: ${commits} commits up to version ${computed} from ${formatBytes(bytes)} of contributions in ${formatSeconds(seconds)}`,
    ...kept.map((one) => (one.agrees ? `${green('agrees')}   ${nameOf(one)}` : `${red('differs')}  ${nameOf(one)}: ${one.reason ?? differenceLine(one)}`)),
    ...(first === undefined ? [] : [`${red('differs')}  version ${first.version}, made of`, ...first.contributions.map((one) => dim(`         ${contributionLine(one)}`))]),
    ...(result === 'agree' ? [green(`every version up to ${computed} has the same bits`)] : []),
    ...(result === 'incomplete' ? [yellow(`${checkedLine(checked)}; what makes the others is missing`)] : []),
  ];
}

/** `versions 1 to 19 and 22 to 60 have the same bits`. */
function checkedLine(checked: ReplayReport['checked']): string {
  if (checked.length === 0) return 'no version could be computed';
  return `versions ${checked.map(({ after, upTo }) => `${after + 1} to ${upTo}`).join(' and ')} have the same bits`;
}

function nameOf({ what, version }: KeptVersion): string {
  const names = { model: 'the model, version', checkpoint: 'checkpoint', takeover: 'what the standby took over with, version' };
  return `${names[what]} ${version}`;
}

function differenceLine({ difference }: KeptVersion): string {
  const { tensor, index, kept, replayed, values, most } = difference!;
  const more = values === 1 ? '' : ` and ${formatCount(values - 1)} more, by ${most.toPrecision(2)} at most`;
  return `${tensor}[${index}] is ${kept}, computed ${replayed}${more}`;
}

function contributionLine({ name, round, samples, weight }: NonNullable<ReplayReport['first']>['contributions'][number]): string {
  return `${name}: ${formatCount(samples)} samples of round ${round}${weight === 1 ? '' : `, weight ${Number(weight.toPrecision(3))}`}`;
}
