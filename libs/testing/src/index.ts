export { connectionConformance, type ConnectionPair, type ConnectionSubject } from './connection.js';
export { strategyConformance, type StrategySubject, type SyncRow, type TrainedRun, type WorkerNote } from './strategies.js';
