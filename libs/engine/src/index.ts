export type { Block, BlockContext, Initializer, Model, ModelFactory, ModelPurpose, ParameterSpec } from './block.js';
export type { Ops } from './ops.js';
export { createModel } from './models/create.js';
export { initialParameters } from './initialize.js';
export { blockShapes, stageModel } from './stage-model.js';
export type { StageModel } from './stage-model.js';
