export type { EngineChoice } from './compute/channel.js';
export type { ParentMessage, WorkerEvent, WorkerMessage, WorkerStats } from './events.js';
export { createFileCache } from './file-cache.js';
export { KeptIdentity } from './kept-identity.js';
export { measureLink, type LinkMeasurement } from './measure-link.js';
export type { AllowedCode } from './start-worker.js';
