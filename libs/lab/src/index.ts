export { ArmPool } from './arm-pool.js';
export { KeptArms } from './kept-arms.js';
export { runBench, type BenchOptions } from './run-bench.js';
export { parseSweep, type Sweep } from './sweep.js';
