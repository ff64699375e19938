import { standingEvents, type StoredEvent } from '@longtail/core';
import { recordedIn, type RunSnapshot } from '@longtail/runtime';
import type { Outcome, Scenario } from '../scenario.js';
import { differenceFrom, replayOf } from './sent-contributions.js';

/**
 * Recomputes a run from its recording, whichever servers have the parts of that. What differs first: the checksum of a version in the
 * log, a checkpoint, what a standby took over with, or what the server held at the end; undefined: all is the same.
 */
export function recordedDifference(scenario: Scenario, { events, store, earlierStores, parameters }: Outcome): string | undefined {
  const stores = [...earlierStores, store];
  const replay = replayOf(scenario, stores.find(({ recording }) => recording!.from !== undefined)!.recording!.from);
  const standing = standingEvents(events);
  const last = standing.findLast(({ body: { event } }) => event === 'commit')?.body;
  /** That `replay` holds; undefined: what came before is not there. */
  let at: number | undefined;
  let server = 0;
  for (const { body, recorded } of recordedIn(standing)) {
    if (body.event === 'taken_over') server++;
    const { checkpoints, recording } = stores[server]!;
    const { from, versions } = recording!;
    if (body.event === 'recording' && from !== undefined) {
      if (at === undefined) replay.goOnFrom(from);
      else if (at !== from.version) return `version ${at} is not what version ${from.version} was recorded from`;
      else {
        const difference = differenceFrom(replay, from.parameters) ?? stateDifference(replay.shard, from);
        if (difference !== undefined) return `takeover at ${at}: ${difference}`;
      }
      at = from.version;
    }
    if (body.event !== 'commit') {
      replay.take(body);
      continue;
    }
    const chunks = recorded ? versions.get(body.version) : undefined;
    if (at === undefined || chunks === undefined) {
      if (!endsEarly(events, body.version)) return `version ${body.version} is not there`;
      at = undefined;
      continue;
    }
    const { checksums } = replay.commit(body, chunks);
    at = body.version;
    if (JSON.stringify(checksums) !== JSON.stringify(body.checksums)) return `version ${body.version}: checksums ${JSON.stringify(body.checksums)}, replayed ${JSON.stringify(checksums)}`;
    for (const checkpoint of checkpoints.filter(({ version }) => version === body.version)) {
      const difference = differenceFrom(replay, checkpoint.parameters) ?? stateDifference(replay.shard, checkpoint);
      if (difference !== undefined) return `checkpoint ${body.version}: ${difference}`;
    }
    // A log that was full may not have the step that the server took last.
    if (body === last && !store.full.has('log')) return differenceFrom(replay, parameters);
  }
  return undefined;
}

/** Only where the log says so, or a server died that its standby took over from. */
function endsEarly(events: readonly StoredEvent[], version: number): boolean {
  return events.some(({ body }) => (body.event === 'recording_stopped' && body.version < version) || (body.event === 'taken_over' && body.version >= version));
}

function stateDifference(shard: ReturnType<typeof replayOf>['shard'], { state, steps }: RunSnapshot): string | undefined {
  if (shard.steps !== steps) return `${steps} steps, replayed ${shard.steps}`;
  for (const [index, vector] of state.entries()) {
    const replayed = vector.slice();
    shard.readState(index, replayed);
    const at = vector.findIndex((value, i) => !Object.is(value, replayed[i]));
    if (at >= 0) return `state ${index}, value ${at} is ${vector[at]}, replayed ${replayed[at]}`;
  }
  return undefined;
}
