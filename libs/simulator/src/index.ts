export type { Arithmetic } from './arithmetic.js';
export type { CommittedLeases } from './ledger.js';
export type { Fault, Tampering } from './faults.js';
export { MemoryStore, type StorageTarget } from './memory-store.js';
export { softmaxRegression, type SoftmaxRegressionOptions, type VirtualModel } from './model.js';
export { simulate, type Outcome, type Scenario, type SimulatedWorker } from './simulate.js';
export { VirtualClock } from './virtual-clock.js';
export { VirtualCompute, type DevicePace, type VirtualComputeOptions, type VirtualOptimizer } from './virtual-compute.js';
export { VirtualNetwork, type LinkSpec, type NetworkOptions, type Tamper, type VirtualLink } from './virtual-network.js';
