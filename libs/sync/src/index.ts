export { bsp, type BspOptions } from './bsp.js';
export { proportionalShares, type ProportionalSharesOptions } from './proportional-shares.js';
