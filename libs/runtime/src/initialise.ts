import type { Assignment } from './assignment.js';
import { chunkSpan } from './grid.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';

/** A worker that sends nothing of its parameters for this long is not waited for. */
const SILENCE_MS = 60_000;

/** Lets a worker draw fresh parameters and makes the shard of them. False when it could not: ask another. */
export async function initialise(core: RunCore, member: Member): Promise<boolean> {
  const grid = core.grid(member.layout!.length);
  const tensor = { kind: 'parameters', fragment: 0, codec: core.codecNamed('fp32') } as const;
  const assignment = core.assign(member, { kind: 'INITIALISE' }, [], [tensor], grid);
  while (assignment.status === 'out' && core.clock.nowMs() < assignment.activeAtMs + SILENCE_MS) {
    await core.wait(assignment.activeAtMs + SILENCE_MS);
  }
  const delivered = assignment.status === 'delivered';
  if (delivered) begin(core, member, assignment);
  core.callOff(assignment);
  if (delivered) member.ownsVersion(core.version);
  else if (assignment.status !== 'lost') core.roster.release(member, assignment.reason || 'sent no parameters');
  return delivered;
}

function begin(core: RunCore, member: Member, { delivery }: Assignment): void {
  const { job, dependencies } = core;
  const { trainSamples, validationSamples } = member.ready!;
  const layout = member.layout!;
  const grid = core.grid(layout.length);
  const shard = dependencies.createShard(layout, job.train.optimizer);
  const codec = core.codecNamed('fp32');
  for (let chunk = 0; chunk < grid.chunks; chunk++) {
    const { offset, length } = chunkSpan(grid, chunk);
    const values = new Float32Array(length);
    codec.decode(delivery.bytes('parameters', 0, chunk), values);
    shard.writeParameters(values, offset);
  }
  const leases = dependencies.createLeases(job, trainSamples);
  core.begin({ layout, shard, leases, grid, samplesPerEpoch: trainSamples, validationSamples: evaluated(core, validationSamples) });
}

function evaluated(core: RunCore, validationSamples: number): number {
  return Math.min(validationSamples, core.job.validation.maxSamples ?? Infinity);
}
