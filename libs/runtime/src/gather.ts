import { formatSeconds, LongtailError } from '@longtail/core';
import type { Census } from './eligibility.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';

/** The nodes around, as a run sees them. Rings the run's bell when they change. */
export type CountFleet = () => Census;

/**
 * Waits until `need` workers are ready. Says so in the log when it has to wait.
 * @throws LongtailError `timeout` when fewer than `need` were even around for the job's `waitMs`; the error of preparing
 * when every node failed at it before the run began.
 */
export async function gather(core: RunCore, need: number, countFleet: CountFleet): Promise<void> {
  let lackingSinceMs: number | undefined;
  let said = '';
  for (;;) {
    core.roster.sweep();
    admitPrepared(core);
    if (core.ready.length >= need) return;
    const fleet = countFleet();
    const around = fleet.mine + fleet.idle.length + fleet.busy;
    if (around === 0 && core.training === undefined && core.roster.preparationError !== undefined) throw core.roster.preparationError;
    const now = core.clock.nowMs();
    if (around >= need) lackingSinceMs = undefined;
    else lackingSinceMs ??= now;
    const untilMs = lackingSinceMs === undefined ? undefined : lackingSinceMs + core.job.cluster.waitMs;
    const reason = describe(core, fleet);
    if (untilMs !== undefined && now >= untilMs) throw tooFew(core, need, around, reason);
    if (said !== reason) core.emit({ event: 'waiting', run: core.run, have: core.ready.length, need, reason });
    said = reason;
    await core.wait(untilMs);
  }
}

/** Looks at members who say that they are ready, and at those who could not prepare. */
export function admitPrepared(core: RunCore): void {
  for (const member of core.roster.members) {
    if (member.state === 'failed') {
      const error = member.failure!;
      core.roster.preparationError = error;
      core.emit({ event: 'error', run: core.run, node: member.node, error: error.toWire() });
      core.roster.release(member, `could not prepare: ${error.message}`);
    } else if (member.state === 'prepared') {
      const problem = disagreement(core, member);
      if (problem !== undefined) {
        core.roster.preparationError ??= new LongtailError(problem, { code: 'protocol', where: member.name });
        core.roster.release(member, problem);
      } else {
        core.roster.admit(member);
      }
    }
  }
}

/** Every worker must hold the same model and the same data; the first one sets the measure. */
function disagreement(core: RunCore, member: Member): string | undefined {
  const { measure } = core.roster;
  const ready = member.ready!;
  if (member.layout!.length === 0) return 'its model has no parameters';
  if (ready.trainSamples < 1) return 'its data has no training samples';
  if (measure === undefined) return undefined;
  if (member.signature !== measure.signature) return `its parameters are laid out differently from those of ${measure.name}`;
  if (ready.trainSamples !== measure.trainSamples || ready.validationSamples !== measure.validationSamples) {
    return (
      `its data has ${ready.trainSamples} + ${ready.validationSamples} samples, ` +
      `that of ${measure.name} ${measure.trainSamples} + ${measure.validationSamples}`
    );
  }
  return undefined;
}

function describe(core: RunCore, fleet: Census): string {
  const preparing = core.roster.members.filter(({ state }) => state === 'preparing').length;
  const parts = [
    `${core.ready.length} ready`,
    ...(preparing > 0 ? [`${preparing} preparing`] : []),
    ...(fleet.idle.length > 0 ? [`${fleet.idle.length} idle`] : []),
    ...(fleet.busy > 0 ? [`${fleet.busy} at work for other runs`] : []),
    ...fleet.obstacles.map(({ node, reason }) => `${node} ${reason}`),
  ];
  return parts.join(', ');
}

function tooFew(core: RunCore, need: number, around: number, reason: string): LongtailError {
  const { waitMs } = core.job.cluster;
  return new LongtailError(`only ${around} of ${need} workers within ${formatSeconds(waitMs / 1000)} (${reason})`, {
    code: 'timeout',
    where: `run ${core.run}`,
    hint: 'Start workers with `longtail join`, or lower cluster.minWorkers or raise cluster.wait in the job.',
    cause: core.roster.preparationError,
  });
}
