export type { ParentMessage, ServerMessage } from './events.js';
export { type Access, openAccess } from './open-access.js';
export { type KeptVersion, type ReplayReport, replayRun } from './replay-run.js';
export { followServer, type StandbyOptions } from './follow-server.js';
export { isLoopback, type RunningServer, type ServerOptions, startServer, type Takeover } from './start-server.js';
