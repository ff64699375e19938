import { DEFAULT_TOP_K, serverOptimizer } from '@longtail/core';
import { chunkSpan } from './grid.js';
import type { Group } from './group.js';
import { SILENCE_MS, type GroupTask } from './group-task.js';
import type { Member } from './member.js';
import type { Measure } from './roster.js';
import type { RunCore } from './run-core.js';
import { Training } from './training.js';

/**
 * Lets a group draw fresh parameters, each worker those of its blocks, and makes the shard of them. False when it could
 * not: ask another.
 */
export async function initialise(core: RunCore, group: Group): Promise<boolean> {
  const task = core.tasks.assign(group, { kind: 'INITIALISE', tensorsOf: (member) => ownParameters(core, group, member) });
  while (task.status === 'out' && core.clock.nowMs() < task.activeAtMs + SILENCE_MS) {
    await core.wait(task.activeAtMs + SILENCE_MS);
  }
  const delivered = task.status === 'delivered';
  if (delivered) draw(core, group, task);
  core.tasks.callOff(task);
  if (delivered) for (const member of group.members) member.ownsVersion(core.version);
  else if (task.status !== 'lost') {
    const silent = task.parts.find(({ status }) => status === 'out');
    core.roster.release((task.broken ?? silent)!.member, task.reason || 'sent no parameters');
  }
  return delivered;
}

/** Of what several members hold (what is tied, replicas) the copy of the first one: all copies are drawn alike. */
function ownParameters(core: RunCore, group: Group, member: Member) {
  const before = new Set(group.members.slice(0, member.worker).flatMap(({ segments }) => segments.map(({ segment }) => segment)));
  const codec = core.codecNamed('fp32');
  const all = core.tasks.expected(member, 'parameters', codec);
  return all.filter((_, i) => !before.has(member.segments[i]!.segment));
}

function draw(core: RunCore, group: Group, task: GroupTask): void {
  const { job, dependencies } = core;
  const { trainSamples, validationSamples } = group.members[0]!.prepared!.ready;
  const { layout } = core.measure!;
  const leases = dependencies.createLeases(job, trainSamples);
  const { shard } = beginTraining(core, { layout, leases, trainSamples, validationSamples });
  const codec = core.codecNamed('fp32');
  for (const { grid, index, offset: from } of core.segments) {
    const { delivery } = task.parts.find((part) => part.delivery.has('parameters', index))!;
    for (let chunk = 0; chunk < grid.chunks; chunk++) {
      const { offset, length } = chunkSpan(grid, chunk);
      const values = new Float32Array(length);
      codec.decode(delivery.bytes('parameters', index, chunk), values);
      shard.writeParameters(values, from + offset);
    }
  }
}

interface Source extends Pick<Training, 'layout' | 'leases'>, Pick<Measure, 'trainSamples' | 'validationSamples'> {}

/** With a shard of zeros. */
export function beginTraining(core: RunCore, { layout, leases, trainSamples, validationSamples }: Source): Training {
  const { job, dependencies } = core;
  const shard = dependencies.createShard(layout, serverOptimizer(job), core.mayFollow ? (job.sync.topK ?? DEFAULT_TOP_K) : undefined);
  const evaluated = Math.min(validationSamples, job.validation.maxSamples ?? Infinity);
  const training = new Training(core, layout, shard, leases, trainSamples, evaluated);
  core.begin(training);
  return training;
}
