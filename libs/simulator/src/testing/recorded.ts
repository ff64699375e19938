import { standingEvents, type RecordedChunk, type StoredEvent } from '@longtail/core';
import type { RunSnapshot } from '@longtail/runtime';
import type { MemoryRecording } from '../memory-recording.js';
import type { Outcome, Scenario } from '../scenario.js';
import { differenceFrom, replayOf } from './sent-contributions.js';

/**
 * Recomputes a run from its recording, up to where that ends. What differs first: the checksum of a version in the log, a
 * checkpoint, or what the server held at the end; undefined: all is the same.
 */
export function recordedDifference(scenario: Scenario, { events, store, parameters }: Outcome): string | undefined {
  const recording = store.recording!;
  const replay = replayOf(scenario, recording.from);
  const commits = standingEvents(events).filter(({ body: { event } }) => event === 'commit').length;
  let done = 0;
  for (const { body } of standingEvents(events)) {
    if (body.event !== 'commit') {
      replay.take(body);
      continue;
    }
    const chunks = chunksOf(recording, body.version);
    if (chunks === undefined) return endsEarly(events, body.version);
    const { checksums } = replay.commit(body, chunks);
    if (JSON.stringify(checksums) !== JSON.stringify(body.checksums)) return `version ${body.version}: checksums ${JSON.stringify(body.checksums)}, replayed ${JSON.stringify(checksums)}`;
    for (const checkpoint of store.checkpoints.filter(({ version }) => version === body.version)) {
      const difference = differenceFrom(replay, checkpoint.parameters) ?? stateDifference(replay.shard, checkpoint);
      if (difference !== undefined) return `checkpoint ${body.version}: ${difference}`;
    }
    if (++done === commits) return differenceFrom(replay, parameters);
  }
  return undefined;
}

function chunksOf(recording: MemoryRecording, version: number): readonly RecordedChunk[] | undefined {
  return recording.versions.find((one) => one.version === version)?.chunks;
}

/** Only where the log says so. */
function endsEarly(events: readonly StoredEvent[], version: number): string | undefined {
  const said = events.some(({ body }) => body.event === 'recording_stopped' && body.version < version);
  return said ? undefined : `version ${version} is not there`;
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
