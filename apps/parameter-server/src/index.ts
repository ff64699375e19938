export { planWithSync } from './auto-plan.js';
export { exactMakespan } from './exact-makespan.js';
export { planOwnLayout } from './given-layout.js';
export type { ParentMessage, ServerMessage } from './events.js';
export { type Access, openAccess } from './open-access.js';
export { type KeptVersion, type ReplayReport, replayRun } from './replay-run.js';
export { isLoopback, type RunningServer, type ServerOptions, startServer } from './start-server.js';
