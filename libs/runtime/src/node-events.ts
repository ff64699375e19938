import type { MeasuredLink, RunEvent } from '@longtail/core';
import type { Session } from './membership.js';

/** What the logs of runs say of a node that is there. */
export function joinedEvents(session: Session): readonly RunEvent[] {
  const { node, name, hello, paused } = session;
  const { engine, description, throttle } = hello.device;
  const joined = { event: 'node_joined', node, name, engine, device: description, throttle } as const;
  return paused === '' ? [joined] : [joined, pauseEvent(session)];
}

export function linkEvent({ node, name }: Session, { upBitsPerSecond, downBitsPerSecond, roundTripMs }: MeasuredLink): RunEvent {
  return { event: 'link', node, name, upBitsPerSecond, downBitsPerSecond, roundTripMs };
}

export function pauseEvent({ node, name, paused }: Session): RunEvent {
  return paused === '' ? { event: 'node_resumed', node, name } : { event: 'node_paused', node, name, reason: paused };
}

export function leftEvent({ node, name }: Session, reason: string): RunEvent {
  return { event: 'node_left', node, name, reason };
}
