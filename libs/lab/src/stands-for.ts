import type { ModelProfile } from '@longtail/core';
import type { BenchScenario } from '@longtail/spec';

/** How much larger the model is that the job's stands for. */
export interface Likeness {
  readonly parameters: number;
  readonly flops: number;
}

export function likenessOf(standsFor: BenchScenario['standsFor'], parameters: number, flopsPerSample: number): Likeness {
  if (standsFor === undefined) return { parameters: 1, flops: 1 };
  const times = standsFor.parameters / parameters;
  return { parameters: times, flops: standsFor.flopsPerSample === undefined ? times : standsFor.flopsPerSample / flopsPerSample };
}

/** The profile of the larger model: the same blocks, each as many times as large. */
export function grown(profile: ModelProfile, { parameters, flops }: Likeness): ModelProfile {
  const blocks = profile.blocks.map((block) => ({
    ...block,
    parameters: parameters * block.parameters,
    tied: block.tied.map(({ name, parameters: own }) => ({ name, parameters: parameters * own })),
    forwardFlops: flops * block.forwardFlops,
    backwardFlops: flops * block.backwardFlops,
  }));
  return { ...profile, blocks };
}

/** Values of a model: what blocks share counts once. */
export function parametersOf({ blocks }: ModelProfile): number {
  const tied = new Map(blocks.flatMap((block) => block.tied.map(({ name, parameters }) => [name, parameters] as const)));
  return [...blocks.map(({ parameters }) => parameters), ...tied.values()].reduce((sum, parameters) => sum + parameters, 0);
}
