/** The worker's half: a process that serves no run need not load the other one. */
export { Pauses, type Owner } from './pauses.js';
export { visitorsHello, visitServer, type VisitOptions } from './visit-server.js';
export type { WorkerEvent } from './worker-events.js';
export { runWorker, type NodeIdentity, type WorkerOptions } from './worker-loop.js';
