/** What a node keeps: a worker has no use for logs, reports and databases, and need not load them. */
export { blobCache, fileCache, type FileCache, type IncomingFile } from './cache.js';
export { isAlive } from './is-alive.js';
export { claimIdentity, type ClaimedIdentity } from './node-identity.js';
export { nodeFiles, type NodeFilesOptions } from './node-files.js';
export { secretFile, type SecretFile } from './secret-file.js';
