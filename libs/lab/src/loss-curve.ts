import { standingEvents, type BenchLossPoint, type StoredEvent } from '@longtail/core';
import type { Measured } from './evaluation.js';

/** Training losses that are kept of a run. */
const TRAINING_POINTS = 200;

/** Training losses as commits tell them and validation losses as they were measured, in the order of time, by the time since training began. */
export function lossCurve(validation: readonly Measured[], stored: readonly StoredEvent[], bytesScale: number): readonly BenchLossPoint[] {
  const events = standingEvents(stored);
  const startMs = events.find(({ body }) => body.event === 'started')?.timeMs ?? 0;
  const commits = events.flatMap(({ timeMs, body }) => (body.event === 'commit' && Number.isFinite(body.loss) && body.samples > 0 ? [{ atMs: timeMs, samples: body.samplesApplied, loss: body.loss }] : []));
  const each = Math.ceil(commits.length / TRAINING_POINTS);
  const points = [
    ...commits.filter((_, i) => i % each === 0).map((point) => ({ ...point, kind: 'training' as const })),
    ...validation.map((point) => ({ ...point, kind: 'validation' as const })),
  ].sort((a, b) => a.atMs - b.atMs);
  const moved = events.flatMap(({ timeMs, body }) => (body.event === 'contribution' ? [{ timeMs, bytes: body.bytesUp + body.bytesDown }] : []));
  let bytes = 0;
  let next = 0;
  return points.map(({ atMs, ...point }) => {
    while (next < moved.length && moved[next]!.timeMs <= atMs) bytes += moved[next++]!.bytes;
    return { ...point, timeMs: atMs - startMs, bytes: bytesScale * bytes };
  });
}
