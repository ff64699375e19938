import type { Stage } from '@longtail/core';

/** Stages that an engine has built, until they are disposed of. */
export class LiveStages {
  private readonly stages = new Set<Stage>();

  /** `make` gets what the stage calls when it is disposed of. */
  add(make: (disposed: () => void) => Stage): Stage {
    const stage = make(() => this.stages.delete(stage));
    this.stages.add(stage);
    return stage;
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.stages].map((stage) => stage.dispose()));
  }
}
