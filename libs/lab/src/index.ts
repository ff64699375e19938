export { ArmPool } from './arm-pool.js';
export { KeptArms } from './kept-arms.js';
export { liveOutcome, planLive, type LivePlan, type Machine } from './live.js';
export type { DeviceLine } from './measure-device.js';
export { comparePredictions, kendallTau, type Prediction } from './predictions.js';
export { runArm, type ArmTask } from './run-arm.js';
export { runBench, type BenchOptions } from './run-bench.js';
export { parseSweep, type Sweep } from './sweep.js';
export { Workbench } from './workbench.js';
