export * from './vector';
export * from './optimizer';
export { encodeFp16, encodeBf16, decodeFp16, decodeBf16, accumulateFp16, accumulateBf16 } from './half';
export * from './integer-rows';
export * from './level-rows';
export * from './sparse';
export * from './state';
export * from './crc32c';
