export { copyFileAtomic, writeFileAtomic } from './atomic.js';
export { comparePlan } from './comparison/compare-plan.js';
export { roundsCompared, type Compared, type DeviceComparison, type ExchangeComparison, type GroupComparison, type PlanComparison } from './comparison/comparison.js';
export { BESIDE_LOGS, openCheckpointStore, type CheckpointStore } from './checkpoint-store.js';
export { checkpointFolder, type Checkpoint, type CheckpointFolder, type WrittenCheckpoint } from './checkpoints.js';
export { IN_MEMORY, openDatabase, type Database } from './database/open-database.js';
export type { NodeEntry } from './database/node-table.js';
export type { RunEntry, RunStatus } from './database/run-table.js';
export { readEvents } from './event-log.js';
export * from './node.js';
export { readRecording, recordingFolder, type RecordedPart, type RecordingFolder } from './recording.js';
export { RUN_FILES } from './run-files.js';
export {
  createRun,
  listRuns,
  openRun,
  readRun,
  type ModelSidecar,
  type RunFolder,
  type RunFolderOptions,
  type RunOwner,
  type RunSummary,
} from './run-folder.js';
export * from './safetensors/index.js';
export { makeFolder, withStorageErrors } from './storage-error.js';
