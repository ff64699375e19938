import type { BlockRange, BuildOptions, Engine, EngineInfo, ModelSpec, Stage } from '@longtail/core';
import { initialParameters } from '../initialize.js';
import { LiveStages } from '../live-stages.js';
import { defaultMicrobatch } from '../microbatches.js';
import { createModel } from '../models/create.js';
import { stageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { EagerStage } from './stage.js';

/** An engine that runs each operation as it comes, on any TF.js backend. */
export class EagerEngine implements Engine {
  readonly info: EngineInfo;
  private readonly stages = new LiveStages();

  constructor(private readonly backend: EagerBackend) {
    this.info = backend.info;
  }

  async build(model: ModelSpec, blocks: BlockRange | 'all', options: BuildOptions): Promise<Stage> {
    const stage = stageModel(await createModel(model, { ...options.data, loss: options.loss }), blocks);
    const own = {
      loss: options.loss,
      maxMicrobatch: options.maxMicrobatch ?? defaultMicrobatch(stage),
      recompute: options.recompute ?? false,
      parameters: initialParameters(stage, options.seed),
    };
    return this.stages.add((disposed) => new EagerStage(this.backend, stage, { ...own, disposed }));
  }

  dispose(): Promise<void> {
    return this.stages.dispose();
  }
}
