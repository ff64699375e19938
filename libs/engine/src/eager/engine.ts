import type { BlockRange, BuildOptions, Engine, EngineInfo, ModelSpec, Stage } from '@longtail/core';
import { initialParameters } from '../initialize.js';
import { defaultMicrobatch } from '../microbatches.js';
import { createModel } from '../models/create.js';
import { stageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { EagerStage } from './stage.js';

/** An engine that runs each operation as it comes, on any TF.js backend. */
export class EagerEngine implements Engine {
  readonly info: EngineInfo;
  private readonly stages: Stage[] = [];

  constructor(private readonly backend: EagerBackend) {
    this.info = backend.info;
  }

  async build(model: ModelSpec, blocks: BlockRange | 'all', options: BuildOptions): Promise<Stage> {
    const stage = stageModel(await createModel(model, { ...options.data, loss: options.loss }), blocks);
    const built = new EagerStage(this.backend, stage, {
      loss: options.loss,
      maxMicrobatch: options.maxMicrobatch ?? defaultMicrobatch(stage),
      recompute: options.recompute ?? false,
      parameters: initialParameters(stage, options.seed),
    });
    this.stages.push(built);
    return built;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.stages.map((stage) => stage.dispose()));
    this.stages.length = 0;
  }
}
