import { formatSeconds, layoutSignature, LongtailError } from '@longtail/core';
import type { Census } from './eligibility.js';
import type { Group } from './group.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';

/** The nodes around, as a run sees them. Rings the run's bell when they change. */
export type CountFleet = () => Census;

/**
 * Waits until `need` workers are ready. Says so in the log when it has to wait.
 * @throws LongtailError `timeout` when fewer than `need` were even around for the job's `waitMs`, `no-plan` when no layout of
 * those who were would do, at once where nobody else may come; the error of preparing when every node failed at it before the run began.
 */
export async function gather(core: RunCore, need: number, countFleet: CountFleet): Promise<void> {
  let lackingSinceMs: number | undefined;
  let said = '';
  for (;;) {
    core.roster.sweep();
    admitPrepared(core);
    const fleet = countFleet();
    if (core.ready.length >= need || (fleet.mine >= need && core.formation.complete)) return;
    const { lacks, shortfall } = core.formation;
    const around = fleet.mine + fleet.idle.length + fleet.busy + fleet.paused.length;
    const hopeless = around === 0 || (lacks !== undefined && !core.formation.pending);
    if (hopeless && core.training === undefined && core.roster.preparationError !== undefined) throw core.roster.preparationError;
    const now = core.clock.nowMs();
    if (around >= need && (lacks === undefined || core.formation.pending)) lackingSinceMs = undefined;
    else lackingSinceMs ??= now;
    const waitMs = shortfall !== undefined && !fleet.open ? 0 : core.job.cluster.waitMs;
    const untilMs = lackingSinceMs === undefined ? undefined : lackingSinceMs + waitMs;
    const reason = describe(core, fleet);
    if (untilMs !== undefined && now >= untilMs) throw shortfall ?? tooFew(core, need, around, reason);
    const missing = shortfall && { shortfall: sentence(shortfall) };
    if (said !== reason) core.emit({ event: 'waiting', run: core.run, have: core.ready.length, need, ...missing, reason });
    said = reason;
    await core.waitForMany(untilMs);
  }
}

/**
 * Looks at groups whose members say that they are ready, and at members who could not prepare; brings the groups in line
 * with who is here, where that disturbs nobody at work.
 * @throws LongtailError `usage` for a layout that does not fit the model
 */
export function admitPrepared(core: RunCore): void {
  for (const member of core.roster.members.filter(({ state }) => state === 'failed')) {
    const error = member.failure!;
    core.roster.preparationError = error;
    core.emit({ event: 'error', run: core.run, node: member.node, error: error.toWire() });
    core.roster.release(member, `could not prepare: ${error.message}`);
  }
  core.roster.letGo();
  core.formation.arrange();
  for (const group of core.formation.groups.filter(({ prepared }) => prepared)) {
    const problem = disagreement(core, group);
    if (problem === undefined) admit(core, group);
    else {
      core.roster.preparationError ??= new LongtailError(problem, { code: 'protocol', where: group.name });
      for (const member of group.members) core.roster.release(member, problem);
    }
  }
  core.cut();
}

function admit(core: RunCore, group: Group): void {
  const { trainSamples, validationSamples } = group.members[0]!.prepared!.ready;
  const layout = group.layout();
  const blocks = group.members.map(({ prepared }) => prepared!.ready.blocks).find((count) => count > 0);
  core.roster.measure ??= { name: group.name, layout, signature: layoutSignature(layout), blocks, trainSamples, validationSamples };
  core.roster.admit(group);
}

/** Every group must hold the same model and the same data; the first one sets the measure. */
function disagreement(core: RunCore, group: Group): string | undefined {
  const { measure } = core.roster;
  checkBlocks(group);
  const odd = group.stages.flatMap((holders, stage) => holders.filter((holder) => signature(holder, stage) !== signature(holders[0]!, stage)));
  if (odd.length > 0) return `${odd[0]!.name} lays its stage out differently from the other replicas`;
  const layout = group.layout();
  if (layout.length === 0) return 'its model has no parameters';
  const readers = dataReaders(group);
  if (readers.some(({ prepared }) => prepared!.ready.trainSamples < 1)) return 'its data has no training samples';
  const first = readers[0]!;
  const { trainSamples, validationSamples } = measure ?? first.prepared!.ready;
  const other = readers.find(({ prepared }) => prepared!.ready.trainSamples !== trainSamples || prepared!.ready.validationSamples !== validationSamples);
  if (other !== undefined) {
    return (
      `${group.solo ? 'its data' : `the data of ${other.name}`} has ${other.prepared!.ready.trainSamples} + ${other.prepared!.ready.validationSamples} samples, ` +
      `that of ${measure?.name ?? first.name} ${trainSamples} + ${validationSamples}`
    );
  }
  if (measure === undefined || layoutSignature(layout) === measure.signature) return undefined;
  return `${group.solo ? 'its' : 'their'} parameters are laid out differently from those of ${measure.name}`;
}

function signature(holder: Member, stage: number): string {
  return layoutSignature(holder.layoutOf(stage));
}

/** Inputs are the first stage's, targets the last one's; those between read no data. */
function dataReaders({ stages }: Group): readonly Member[] {
  return [...new Set([...stages[0]!, ...stages.at(-1)!])];
}

/** Each block of the model must be on exactly one stage. */
function checkBlocks(group: Group): void {
  let next = 0;
  for (const [stage, { blocks }] of group.plan.stages.entries()) {
    if (blocks === 'all' && group.solo) return;
    const { start, end } = blocks === 'all' ? { start: 0, end: 0 } : blocks;
    if (start !== next) throw uncovered(group, start > next ? next : start, start > next ? 'on no stage' : `on stage ${stage} and on the one before`);
    next = end;
  }
  const counted = group.members.map(({ prepared }) => prepared!.ready.blocks).find((count) => count > 0);
  if (counted !== undefined && next < counted) throw uncovered(group, next, `on no stage: the model has ${counted}`);
  if (counted !== undefined && next > counted) throw uncovered(group, counted, `not there: the model has ${counted}`);
}

function uncovered(group: Group, block: number, where: string): LongtailError {
  return new LongtailError(`block ${block} (counted from 0) of the group ${group.name} is ${where}`, {
    code: 'usage',
    where: 'cluster.layout',
    hint: "Let the stages of each group have all of the model's blocks between them.",
  });
}

function describe(core: RunCore, fleet: Census): string {
  const preparing = core.roster.members.filter(({ state }) => state === 'preparing').length;
  const parts = [
    `${core.ready.length} ready`,
    ...(preparing > 0 ? [`${preparing} preparing`] : []),
    ...(fleet.idle.length > 0 ? [`${fleet.idle.length} idle`] : []),
    ...(fleet.busy > 0 ? [`${fleet.busy} at work for other runs`] : []),
    ...lackOf(core),
    ...fleet.paused.map(({ name, reason }) => `${name} is paused: ${reason}`),
    ...fleet.obstacles.map(({ name, reason }) => `${name} ${reason}`),
  ];
  return parts.join(', ');
}

function lackOf({ formation: { lacks, shortfall, planning }, job }: RunCore): readonly string[] {
  if (planning) return ['the layout is being planned'];
  if (shortfall !== undefined) return [`${sentence(shortfall)} Others have ${formatSeconds(job.cluster.waitMs / 1000)} to join`];
  return lacks === undefined ? [] : [`the layout lacks ${lacks}`];
}

function sentence({ message, hint }: LongtailError): string {
  return `${message}; ${hint}`;
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
