export { connectionConformance, type ConnectionPair, type ConnectionSubject } from './connection.js';
export { startPostgres, type PostgresServer } from './postgres.js';
export { startS3Server, type S3Fault, type S3Server } from './s3-server.js';
export { EVERY_CODEC, EVERY_CODEC_ONE_WAY, strategyConformance, type StrategySubject, type SyncRow, type TrainedRun, type WorkerNote } from './strategies.js';
