export { planWithSync } from './auto-plan.js';
export { exactMakespan } from './exact-makespan.js';
export { planOwnLayout } from './given-layout.js';
export type { ParentMessage, ServerMessage } from './events.js';
export { type RunningServer, type ServerOptions, startServer } from './start-server.js';
