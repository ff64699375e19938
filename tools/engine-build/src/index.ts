export { installNativeEngine, type InstallOptions, type InstallResult } from './install.js';
export { probeNativeEngine, type NativeEngineProbe, type Problem } from './probe.js';
export type { CudaCard, CudaFinding } from './cuda.js';
