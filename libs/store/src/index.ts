export { openEventLog, readEvents, type EventLogOptions } from './event-log.js';
