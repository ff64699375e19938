export { chooseSync } from './auto.js';
export { createStrategy } from './create.js';
export { balancedShares, type BalancedSharesOptions } from './balanced-shares.js';
