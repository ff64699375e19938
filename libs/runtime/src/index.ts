export type { FollowedAccess } from './access-following.js';
export { CHUNK_LENGTH } from './grid.js';
export { explicitLayout } from './explicit-layout.js';
export type {
  FileCache,
  FileSink,
  Recording,
  Resumption,
  RunSnapshot,
  RunStore,
  ServedFile,
  ServerConnection,
  ServerDependencies,
  WorkerConnection,
} from './ports.js';
export type { ShardState } from './fill-shard.js';
export { recordedIn, Replay, type ReplayedCommit } from './replay.js';
export { createServer } from './server-loop.js';
export type { LaunchedRun, NodeOrder, Server, ServerOptions } from './server.js';
export type { FollowedStore } from './followed-run.js';
export type { InheritedRun, Succession } from './followed-server.js';
export { Standby, type StandbyEvent, type StandbyOptions, type StandbyOutcome } from './standby.js';
export * from './worker.js';
