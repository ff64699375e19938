export { chooseSync } from './auto.js';
export { createStrategy } from './create.js';
export { proportionalShares, type ProportionalSharesOptions } from './proportional-shares.js';
