import type { WireError } from '@longtail/core';

/** What a server process tells its parent, over the channel between them. */
export type ServerMessage =
  | { readonly type: 'listening'; readonly address: string }
  | { readonly type: 'ended'; readonly reason: string; readonly error?: WireError };

/** What a parent tells a server process. */
export interface ParentMessage {
  readonly type: 'leave';
  readonly reason: string;
}
