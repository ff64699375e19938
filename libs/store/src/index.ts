export { openEventLog, readEvents, type EventLogOptions } from './event-log.js';
export * from './safetensors/index.js';
