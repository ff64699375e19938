export * from './vector';
export * from './optimizer';
export * from './half';
export { encodeRows, decodeRows } from './rows';
export * from './state';
export * from './crc32c';
