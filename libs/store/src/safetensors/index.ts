export type { SafetensorsDType, SafetensorsHeader, TensorEntry } from './format.js';
export { openSafetensors, readFlat, type SafetensorsFile } from './read.js';
export { tensorsOf, writeSafetensors, type TensorSource, type WrittenFile } from './write.js';
