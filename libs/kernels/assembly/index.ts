export * from './vector';
export * from './optimizer';
export * from './half';
export * from './rows';
export * from './crc32c';
